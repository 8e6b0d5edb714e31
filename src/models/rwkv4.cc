// RWKV-4. Paper: Peng et al., arXiv:2305.13048. Formulas and initial values: RWKV-LM, RWKV-v4neo.
//
// With h' the previous token's h, each of k v r reads its own mix h mu + h' (1 - mu). Per channel, with the
// decay d = exp(-exp(time_decay)) and the present token's bonus u = time_first:
//
//     wkv_t = (sum_{i<t} d^{t-1-i} e^{k_i} v_i + e^{u + k_t} v_t) / (the same without v)
//     out = W_o (sigmoid(r) * wkv)
//
// Parameter names are those of the published checkpoints (blocks.N.att.time_decay, ...).
#include "models/rwkv4.h"

#include "models/rwkv4_blocks.h"
#include "models/sizes.h"

namespace linnet::models {

Rwkv4TimeMix::Rwkv4TimeMix(const Params& p, Dim width, const Depth& depth)
    : shift_(p.State("shift", {width})), wkv_(p.State("wkv", {3, width}, NothingSeen(width))) {
  const double rho = depth.rho, tau = depth.tau;
  decay_ =
      p.Vector("time_decay", {width},
               init::Element([=](Dim c) { return -5 + 8 * std::pow(Line(c, width), 0.7 + 1.3 * rho); }), 2);
  first_ = p.Vector("time_first", {width},
                    init::Element([](Dim c) { return std::log(0.3) + 0.5 * Zigzag(c); }), 3);
  const auto mix = [&](const char* name, double power, double lift) {
    mix_.push_back(
        p.Vector(name, {1, 1, width}, init::Element([=](Dim c) { return Ramp(c, width, power) + lift; })));
  };
  mix("time_mix_k", tau, 0);
  mix("time_mix_v", tau, 0.3 * rho);
  mix("time_mix_r", tau / 2, 0);
  key_ = p.Matrix("key.weight", {width, width}, init::Zero());
  value_ = p.Matrix("value.weight", {width, width}, init::Orthogonal(1));
  receptance_ = p.Matrix("receptance.weight", {width, width}, init::Zero());
  output_ = p.Matrix("output.weight", {width, width}, init::Zero());
}

Tensor Rwkv4TimeMix::operator()(const Tensor& x, const Batch& batch, const State& state) const {
  const auto in = ops::ShiftMix(x, mix_, batch, state[shift_], MixShare::kNow);
  const Tensor k = ops::Linear(in[0], key_), v = ops::Linear(in[1], value_),
               r = ops::Linear(in[2], receptance_);
  const Tensor wkv = ops::Wkv4({k, v, decay_, first_}, batch, state[wkv_]);
  return ops::Linear(ops::Gate(wkv, r, GateKind::kSigmoid), output_);
}

GatedChannelMix MakeRwkv4ChannelMix(const Params& p, const TrunkSizes& c, const Depth& depth) {
  const Init mix = init::Element([&](Dim n) { return Ramp(n, c.width, depth.tau); });
  return {p, c.width, c.ffn, MixShare::kNow, mix, TallGain(c.ffn, c.width)};
}

bool IsRwkv4(const Checkpoint& checkpoint) {
  return checkpoint.Find("emb.weight") && checkpoint.Find("blocks.0.att.time_first") &&
         !checkpoint.Find("blocks.0.att.ln_x.weight") && !checkpoint.Find("blocks.0.att.time_mix");
}

Sizes ReadRwkv4Sizes(const Checkpoint& checkpoint) { return ReadTrunkSizes(checkpoint); }

Sizes CompleteRwkv4Sizes(Sizes sizes) {
  CheckTrunkSizes(sizes);
  Check(!sizes.contains("head_size"), "RWKV-4 has no heads; leave --head-size out");
  sizes.try_emplace("ffn", 4 * sizes["width"]);
  return sizes;
}

double Rwkv4RecurrenceFlops(const Sizes& sizes) {
  // Per channel: the average 7, the new state 6 operations; the exponentials do not count.
  return 13.0 * sizes.at("layers") * sizes.at("width");
}

std::unique_ptr<Model> MakeRwkv4(const Params& params, const Sizes& sizes) {
  const TrunkSizes c(sizes);
  using Block = GatedBlock<Rwkv4TimeMix>;
  return std::make_unique<Trunk<Block>>(params, c, 6e-4f, [&c](const Params& p, int layer) {
    const Depth depth(layer, c.layers);
    return Block{Norm(p / "ln1", c.width), Norm(p / "ln2", c.width), Rwkv4TimeMix(p / "att", c.width, depth),
                 MakeRwkv4ChannelMix(p / "ffn", c, depth), layer};
  });
}

}  // namespace linnet::models
