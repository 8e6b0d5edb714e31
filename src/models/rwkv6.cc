// RWKV-6 "Finch". Paper: Peng et al., arXiv:2404.05892. Formulas and initial values: RWKV-LM, RWKV-v5 (x060).
//
// RWKV-5 whose mixes and decays follow the input. With delta = h' - h, h' the previous token's h:
//
//     z = tanh((h + delta maa_x) W_1), cut into five parts z_n for n = w k v r g
//     h_n = h + delta (maa_n + z_n W_2n)
//     w = time_decay + tanh(h_w W_d1) W_d2
//
// models/eagle_finch.h has the recurrence. Parameter names are those of the published checkpoints.
#include "models/rwkv6.h"

#include "models/eagle_finch.h"
#include "models/gated.h"
#include "models/sizes.h"

namespace linnet::models {
namespace {

using ops::Act;
using ops::WeightLayout;

struct Rwkv6Sizes : HeadSizes {
  Dim mix_rank, decay_rank;  // of the low-rank maps
  explicit Rwkv6Sizes(const Sizes& sizes)
      : HeadSizes(sizes), mix_rank(sizes.at("mix_rank")), decay_rank(sizes.at("decay_rank")) {}
};

constexpr int kMixes = 5;

class TimeMix {
 public:
  TimeMix(const Params& p, const Rwkv6Sizes& c, int layer)
      : shift_(p.State("shift", {c.width})), mix_with_state_(p, c, layer, true) {
    const Depth depth(layer, c.layers);
    const auto mix = [&](const char* name, double power, double drop) {
      return p.Vector(name, {1, 1, c.width}, init::Element([=, width = c.width](Dim n) {
                        return 1 - Ramp(n, width, power) - drop;
                      }));
    };
    maa_x_ = mix("time_maa_x", depth.tau, 0);
    maa_.push_back(mix("time_maa_w", depth.tau, 0));
    maa_.push_back(mix("time_maa_k", depth.tau, 0));
    maa_.push_back(mix("time_maa_v", depth.tau, 0.3 * depth.rho));
    maa_.push_back(mix("time_maa_r", depth.tau / 2, 0));
    maa_.push_back(mix("time_maa_g", depth.tau / 2, 0));
    maa_w1_ = p.LowRank("time_maa_w1", {c.width, kMixes * c.mix_rank}, init::Zero());
    maa_w2_ = p.LowRank("time_maa_w2", {kMixes, c.mix_rank, c.width}, init::Uniform(0.01f));
    decay_.offset = p.Vector("time_decay", {1, 1, c.width}, DecayInit(depth, c.width), 2);
    decay_.down = p.LowRank("time_decay_w1", {c.width, c.decay_rank}, init::Zero());
    decay_.up = p.LowRank("time_decay_w2", {c.decay_rank, c.width}, init::Uniform(0.01f));
    bonus_ = p.Vector("time_faaaa", {c.heads(), c.head_size}, BonusInit(depth, c.width, 0.1));
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    const StateRef shift = state[shift_];
    const Tensor first = ops::ShiftMix(x, {maa_x_}, batch, {shift.in, {}})[0];  // the state is needed again
    const auto z =
        ops::SplitColumns(ops::Linear(first, maa_w1_, {}, Act::kTanh, WeightLayout::kInOut), kMixes);
    const auto w2 = ops::Unstack(maa_w2_);
    std::vector<Tensor> mix;
    for (int n = 0; n < kMixes; ++n) {
      mix.push_back(ops::Linear(z[n], w2[n], maa_[n], Act::kNone, WeightLayout::kInOut));
    }
    const auto in = ops::ShiftMix(x, mix, batch, shift);
    const Tensor w = decay_(in[0], Act::kTanh);
    return mix_with_state_({.r = in[3], .k = in[1], .v = in[2], .g = in[4]}, w, bonus_, batch, state);
  }

 private:
  StateVar shift_;
  MatrixStateMix mix_with_state_;
  Tensor maa_x_, maa_w1_, maa_w2_, bonus_;
  std::vector<Tensor> maa_;  // w k v r g
  LowRank decay_;
};

using Block = GatedBlock<TimeMix>;

}  // namespace

bool IsRwkv6(const Checkpoint& checkpoint) {
  return checkpoint.Find("emb.weight") && checkpoint.Find("blocks.0.att.time_maa_x");
}

Sizes ReadRwkv6Sizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadTrunkSizes(checkpoint);
  const std::string bonus = "blocks.0.att.time_faaaa";
  AddHeads(checkpoint, bonus, Extent(checkpoint, bonus, 0), sizes);
  sizes["mix_rank"] = Extent(checkpoint, "blocks.0.att.time_maa_w2", 1, 3);
  sizes["decay_rank"] = Extent(checkpoint, "blocks.0.att.time_decay_w1", 1);
  return sizes;
}

Sizes CompleteRwkv6Sizes(Sizes sizes) {
  CheckTrunkSizes(sizes);
  CompleteHeadSize(sizes);
  sizes.try_emplace("ffn", SlimFfn(sizes["width"]));
  sizes.try_emplace("mix_rank", 32);
  sizes.try_emplace("decay_rank", 64);
  return sizes;
}

std::unique_ptr<Model> MakeRwkv6(const Params& params, const Sizes& sizes) {
  const Rwkv6Sizes c(sizes);
  return std::make_unique<Trunk<Block>>(params, c, 1e-4f, [&c](const Params& p, int layer) {
    const double power = std::pow(Depth(layer, c.layers).tau, 3);
    const Init mix = init::Element([&](Dim n) { return 1 - Ramp(n, c.width, power); });
    return Block{Norm(p / "ln1", c.width), Norm(p / "ln2", c.width), TimeMix(p / "att", c, layer),
                 GatedChannelMix(p / "ffn", c.width, c.ffn, MixShare::kPrevious, mix, 1), layer};
  });
}

}  // namespace linnet::models
