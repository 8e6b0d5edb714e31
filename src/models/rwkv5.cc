// RWKV-5 "Eagle". Paper: Peng et al., arXiv:2404.05892. Formulas and initial values: RWKV-LM, RWKV-v5.
//
// With h' the previous token's h, each of k v r g reads its own mix h mu + h' (1 - mu); decay w and bonus u
// are the same for all tokens. Three revisions, told apart by their tensors:
//
//     5.0   no gate; w, u one number a head, u = exp(time_first)
//     5.1   a gate;  w, u one number a head, u = time_faaaa
//     5.2   a gate;  w, u one number a channel
//
// models/eagle_finch.h has the recurrence. Parameter names are those of the published checkpoints.
#include "models/rwkv5.h"

#include "models/eagle_finch.h"
#include "models/gated.h"
#include "models/sizes.h"

namespace linnet::models {
namespace {

struct Rwkv5Sizes : HeadSizes {
  Dim revision;
  explicit Rwkv5Sizes(const Sizes& sizes) : HeadSizes(sizes), revision(sizes.at("revision")) {}
  bool gated() const { return revision >= 1; }
  bool of_channels() const { return revision >= 2; }
};

/// act(x) of one number a head, for each of the head's channels: [H] -> [H, D].
Tensor ForChannels(const Tensor& x, Dim head_size, ops::Act act) {
  const Tensor ones = Tensor::Empty({1, head_size});
  std::fill_n(ones.data(), head_size, 1.0f);
  return ops::Linear(x.Reshape({x.size(), 1}), ones, {}, act, ops::WeightLayout::kInOut);
}

class TimeMix {
 public:
  TimeMix(const Params& p, const Rwkv5Sizes& c, int layer)
      : of_channels_(c.of_channels()),
        head_size_(c.head_size),
        shift_(p.State("shift", {c.width})),
        mix_with_state_(p, c, layer, c.gated()) {
    const Depth depth(layer, c.layers);
    const auto mix = [&](const char* name, double power, double lift) {
      mix_.push_back(p.Vector(name, {1, 1, c.width}, init::Element([=, width = c.width](Dim n) {
                                return Ramp(n, width, power) + lift;
                              })));
    };
    mix("time_mix_k", depth.tau, 0);
    mix("time_mix_v", depth.tau, 0.3 * depth.rho);
    mix("time_mix_r", depth.tau / 2, 0);
    if (c.gated()) mix("time_mix_g", depth.tau / 2, 0);
    const Shape shape = c.of_channels() ? Shape{c.heads(), c.head_size} : Shape{c.heads()};
    decay_ = p.Vector("time_decay", shape, DecayInit(depth, shape.size()), 2);
    if (c.gated()) {
      bonus_ = p.Vector("time_faaaa", shape, BonusInit(depth, shape.size(), c.of_channels() ? 0.1 : 0));
    } else {
      bonus_ = p.Vector("time_first", shape, init::Constant(-3), 3);
      bonus_act_ = ops::Act::kExp;
    }
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    auto in = ops::ShiftMix(x, mix_, batch, state[shift_], MixShare::kNow);
    in.resize(4);  // without a gate the last is empty
    const Tensor w = of_channels_ ? decay_ : ForChannels(decay_, head_size_, ops::Act::kNone);
    const Tensor u = of_channels_ ? bonus_ : ForChannels(bonus_, head_size_, bonus_act_);
    return mix_with_state_({.r = in[2], .k = in[0], .v = in[1], .g = in[3]}, w, u, batch, state);
  }

 private:
  bool of_channels_;
  Dim head_size_;
  StateVar shift_;
  MatrixStateMix mix_with_state_;
  std::vector<Tensor> mix_;
  Tensor decay_, bonus_;
  ops::Act bonus_act_ = ops::Act::kNone;
};

using Block = GatedBlock<TimeMix>;

}  // namespace

bool IsRwkv5(const Checkpoint& checkpoint) {
  return checkpoint.Find("emb.weight") && checkpoint.Find("blocks.0.att.time_mix_k") &&
         checkpoint.Find("blocks.0.att.ln_x.weight");
}

Sizes ReadRwkv5Sizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadTrunkSizes(checkpoint);
  const std::string decay = "blocks.0.att.time_decay";
  const bool of_channels = checkpoint.Find(decay) && checkpoint.Find(decay)->shape.rank() > 1;
  sizes["revision"] = of_channels ? 2 : checkpoint.Find("blocks.0.att.gate.weight") ? 1 : 0;
  AddHeads(checkpoint, decay, Extent(checkpoint, decay, 0, of_channels ? 2 : 1), sizes);
  return sizes;
}

Sizes CompleteRwkv5Sizes(Sizes sizes) {
  CheckTrunkSizes(sizes);
  CompleteHeadSize(sizes);
  sizes.try_emplace("ffn", SlimFfn(sizes["width"]));
  sizes.try_emplace("revision", 2);
  return sizes;
}

std::unique_ptr<Model> MakeRwkv5(const Params& params, const Sizes& sizes) {
  const Rwkv5Sizes c(sizes);
  return std::make_unique<Trunk<Block>>(params, c, 1e-4f, [&c](const Params& p, int layer) {
    const Depth depth(layer, c.layers);
    const Init mix = init::Element([&](Dim n) { return Ramp(n, c.width, depth.tau); });
    return Block{Norm(p / "ln1", c.width), Norm(p / "ln2", c.width), TimeMix(p / "att", c, layer),
                 GatedChannelMix(p / "ffn", c.width, c.ffn, MixShare::kNow, mix, 1), layer};
  });
}

}  // namespace linnet::models
