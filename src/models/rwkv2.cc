// RWKV-2, the first that is an RNN. There is no paper; formulas, names and initial values: RWKV-LM,
// RWKV-v2-RNN. Its average is RWKV-4's (rwkv4.cc), so it is the same op; what differs stands around it:
//
//     one mix with the token before for k, v and r, and one for the whole channel mix, which begins with the
//     one half of the channels from the token before and the other from the present one;
//     norms that the residual stream passes through, h = LN(x), x = h + Branch(h), and none behind the
//     embedding.
//
// The reference holds keys below 60, so that e^k does not overflow, and adds 1e-16 to the denominator; the op
// needs neither. Its trainer had one thing more, which no later version has and which is not here: tokens
// seen so far are voted for by attention over all of them (head_q, head_k).
//
// RWKV-3 has a mix each for k, v, r, and the norms and initial values of RWKV-4: but for the 60 and a 1e-8 it
// is the same function, and --arch rwkv4 is it.
#include "models/lineage.h"
#include "models/rwkv4.h"
#include "models/sizes.h"
#include "models/trunk.h"

namespace linnet::models {
namespace {

/// 0 in the first half of the channels, which are then those of the token before, 1 in the second.
Init HalfShifted(Dim width) {
  return init::Element([=](Dim c) { return c < width / 2 ? 0 : 1; });
}

/// Where the rates of decay begin: log(f_1 f_2^{7 c / (C - 1)}). The reference counts layers from the second,
/// as its first may have no time mix.
Init Rates(Dim width, int layer, Dim layers) {
  const double rho = Depth(layer, layers).rho;
  const double f_1 = 3 - 1.8 * rho + (layer == 0 ? 0.5 : 0);
  const double f_2 = layer == layers - 1 ? 0.37 : layer == layers - 2 ? 0.4 : 0.65 - 0.25 * rho;
  return init::Element([=](Dim c) { return std::log(f_1) + 7 * Line(c, width) * std::log(f_2); });
}

class TimeMix {
 public:
  TimeMix(const Params& p, Dim width, int layer, Dim layers)
      : shift_(p.State("shift", {width})),
        wkv_(p.State("wkv", {3, width}, NothingSeen(width))),
        decay_(p.Vector("time_decay", {width, 1}, Rates(width, layer, layers))),
        first_(p.Vector("time_first", {width, 1}, init::Constant(std::log(0.3f)))),
        mix_(p.Vector("time_mix", {1, 1, width}, HalfShifted(width))),
        key_(p.Matrix("key.weight", {width, width}, init::Zero())),
        value_(p.Matrix("value.weight", {width, width}, init::Orthogonal(1))),
        receptance_(p.Matrix("receptance.weight", {width, width}, init::Zero())),
        output_(p.Matrix("output.weight", {width, width}, init::Zero())) {}

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const Tensor x = ops::ShiftMix(h, {mix_}, batch, state[shift_], MixShare::kNow)[0];
    const auto kvr = ops::Linears({{x, key_}, {x, value_}, {x, receptance_}});
    const Tensor wkv = ops::Wkv4({kvr[0], kvr[1], decay_, first_}, batch, state[wkv_]);
    return ops::Linear(ops::Gate(wkv, kvr[2], GateKind::kSigmoid), output_);
  }

 private:
  StateVar shift_, wkv_;
  Tensor decay_, first_, mix_, key_, value_, receptance_, output_;
};

class ChannelMix {
 public:
  ChannelMix(const Params& p, Dim width, Dim ffn)
      : shift_(p.State("shift", {width})),
        mix_(p.Vector("time_mix", {1, 1, width}, HalfShifted(width))),
        key_(p.Matrix("key.weight", {ffn, width}, init::Orthogonal(TallGain(ffn, width)))),
        receptance_(p.Matrix("receptance.weight", {width, width}, init::Zero())),
        value_(p.Matrix("value.weight", {width, ffn}, init::Zero())) {}

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const Tensor x = ops::ShiftMix(h, {mix_}, batch, state[shift_], MixShare::kNow)[0];
    const Tensor k = ops::Linear(x, key_, {}, ops::Act::kRelu2);
    return ops::Gate(ops::Linear(k, value_), ops::Linear(x, receptance_), GateKind::kSigmoid);
  }

 private:
  StateVar shift_;
  Tensor mix_, key_, receptance_, value_;
};

struct Block {
  Norm ln1, ln2;
  TimeMix att;
  ChannelMix ffn;
  int layer;

  Tensor operator()(const Tensor& x, Tensor& /*carried*/, const Batch& batch, const State& state) const {
    Tensor h = ln1(x);
    h = ln2(AddBranch(h, att(h, batch, state), layer, Branch::kTimeMix));
    return AddBranch(h, ffn(h, batch, state), layer, Branch::kChannelMix);
  }
};

std::unique_ptr<Model> Make(const Params& params, const Sizes& sizes) {
  const TrunkSizes c(sizes);
  // As widely spread as the reference's, which is orthogonal with rows of 1e-4.
  constexpr float kEmbedding = 1.7e-4f;
  return std::make_unique<Trunk<Block>>(
      params, c, kEmbedding,
      [&c](const Params& p, int layer) {
        return Block{Norm(p / "ln1", c.width), Norm(p / "ln2", c.width),
                     TimeMix(p / "att", c.width, layer, c.layers), ChannelMix(p / "ffn", c.width, c.ffn),
                     layer};
      },
      /*first_norm=*/false);
}

}  // namespace

Architecture Rwkv2() {
  return {.name = "rwkv2",
          .title = "RWKV-2",
          .matches = [](const Checkpoint& file) { return file.Find("blocks.0.att.time_mix") != nullptr; },
          .read_sizes = ReadRwkv4Sizes,
          .complete_sizes =
              [](Sizes sizes) {
                CheckHasNo(sizes, "head_size", "RWKV-2");
                return CompleteRwkv4Sizes(std::move(sizes));
              },
          .make = Make,
          .ignored = {},
          .recurrence_flops = Rwkv4RecurrenceFlops};
}

}  // namespace linnet::models
