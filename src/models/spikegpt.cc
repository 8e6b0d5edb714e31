// SpikeGPT: RWKV-4 whose embedding and mixes say ones and zeros. Paper: Zhu et al., arXiv:2302.13939;
// formulas also from its code, ridgerchu/SpikeGPT. With RWKV-4's mixes and SN, a neuron in each channel:
//
//     x <- LN_0([emb >= 0])        x <- x + SN(TimeMix(LN_1 x))        x <- x + SN(ChannelMix(LN_2 x))
//
//     SN:  u_t = (v_{t-1} + in_t) / 2        s_t = [u_t >= 1]        v_t = u_t (1 - s_t)
//
// The neuron's time is that of the text: a token is a step, and its membrane v is state. What comes into the
// residual stream are spikes; the stream itself, their sum, is dense, and so is what the next norm makes of
// it.
//
// A spike has no slope; going backwards it is taken for an arctan, with 1 / (1 + (pi (u - 1))^2), also where
// it resets the membrane. Unlike WKV, the neuron is no scan: whether it resets depends on its last reset.
// Rows come one after the other, channels and sequences side by side: exact, and cheap, as a step is some
// operations.
//
// Sizes: neuron, 2 as above; 1 a neuron without a membrane, [in_t >= 0], which the paper compares it with. As
// W_o = 0 at first, no neuron of the first kind spikes then, and each of the second does.
//
// Its files have RWKV-4's names, but att_lif (or att_step) for att: published ones cannot be told from
// RWKV-4's.
#include "models/lineage.h"
#include "models/rwkv4.h"
#include "models/rwkv4_blocks.h"
#include "models/sizes.h"
#include "ops/spikes.h"

namespace linnet::models {
namespace {

enum Kind : Dim { kStep = 1, kLif };

const char* TimeMixName(Dim kind) { return kind == kLif ? "att_lif" : "att_step"; }

class Neuron {
 public:
  Neuron(const Params& p, Dim width, Dim kind, int site) : kind_(kind), site_(site) {
    if (kind == kLif) v_ = p.State("v", {width});
  }
  Tensor operator()(const Tensor& in, const Batch& batch, const State& state) const {
    return kind_ == kLif ? ops::Lif(in, batch, state[v_], site_) : ops::Step(in, site_);
  }

 private:
  Dim kind_;
  int site_;
  StateVar v_;
};

struct Block {
  Norm ln1, ln2;
  Rwkv4TimeMix att;
  Neuron att_neuron;
  GatedChannelMix ffn;
  Neuron ffn_neuron;
  int layer;

  Tensor operator()(Tensor x, Tensor& /*carried*/, const Batch& batch, const State& state) const {
    x = AddBranch(x, att_neuron(att(ln1(x), batch, state), batch, state), layer, Branch::kTimeMix);
    return AddBranch(x, ffn_neuron(ffn(ln2(x), batch, state), batch, state), layer, Branch::kChannelMix);
  }
};

class SpikingTrunk : public Trunk<Block> {
 public:
  using Trunk<Block>::Trunk;

 protected:
  Tensor Entering(const Tensor& rows) const override { return ops::Step(rows, kEmbeddingSite); }
};

std::unique_ptr<Model> Make(const Params& params, const Sizes& sizes) {
  const TrunkSizes c(sizes);
  const Dim kind = sizes.at("neuron");
  return std::make_unique<SpikingTrunk>(params, c, 6e-4f, [&](const Params& p, int layer) {
    const Depth depth(layer, c.layers);
    const Params att = p / TimeMixName(kind), ffn = p / "ffn";
    return Block{Norm(p / "ln1", c.width),
                 Norm(p / "ln2", c.width),
                 Rwkv4TimeMix(att, c.width, depth),
                 Neuron(att, c.width, kind, SiteOf(layer, Branch::kTimeMix)),
                 MakeRwkv4ChannelMix(ffn, c, depth),
                 Neuron(ffn, c.width, kind, SiteOf(layer, Branch::kChannelMix)),
                 layer};
  });
}

bool Has(const Checkpoint& checkpoint, Dim kind) {
  return checkpoint.Find(fmt::format("blocks.0.{}.time_first", TimeMixName(kind)));
}

}  // namespace

Architecture SpikeGpt() {
  return {
      .name = "spikegpt",
      .title = "SpikeGPT",
      .matches = [](const Checkpoint& c) { return c.Find("emb.weight") && (Has(c, kLif) || Has(c, kStep)); },
      .read_sizes =
          [](const Checkpoint& checkpoint) {
            Sizes sizes = ReadTrunkSizes(checkpoint);
            sizes["neuron"] = Has(checkpoint, kLif) ? kLif : kStep;
            return sizes;
          },
      .complete_sizes =
          [](Sizes sizes) {
            CheckHasNo(sizes, "head_size", "SpikeGPT");
            const auto [neuron, is_new] = sizes.try_emplace("neuron", kLif);
            Check(neuron->second == kStep || neuron->second == kLif,
                  "the size neuron must be 1 (a step) or 2 (LIF) but is {}; change --sizes", neuron->second);
            return CompleteRwkv4Sizes(sizes);
          },
      .make = Make,
      .ignored = {},
      .recurrence_flops =
          [](const Sizes& s) {
            const double neurons = s.at("neuron") == kLif ? 4 : 1;  // operations of each of a layer's two
            return Rwkv4RecurrenceFlops(s) + 2 * neurons * s.at("layers") * s.at("width");
          }};
}

}  // namespace linnet::models
