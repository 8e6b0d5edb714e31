// RWKV-7 "Goose" (x070). Paper: Peng et al., arXiv:2503.14456. Formulas and initial values: RWKV-LM,
// RWKV-v7/train_temp.
//
// With h' the previous token's h, each of r w k v a g reads its own mix h + (h' - h) x_n. Per head, with row
// vectors, the decay d, the unit removal key kk, the in-context learning rate a, and S of shape [value, key]:
//
//     S_t = S_{t-1} (diag(d_t) - kk_t^T (a_t kk_t)) + v_t^T k_t        y_t = S_t r_t
//
// Parameter names are those of the published checkpoints (blocks.N.att.x_r, ...).
#include <cmath>

#include "models/rwkv7_blocks.h"

namespace linnet::models {

using ops::Act;

Init Rwkv7MixInit(Dim width, double power) {
  return init::Element([=](Dim c) { return 1 - Ramp(c, width, power); });
}

Init Rwkv7ChannelMixInit(const TrunkSizes& c, int layer) {
  return Rwkv7MixInit(c.width, std::pow(Depth(layer, c.layers).tau, 4));
}

namespace {

/// n0 + f(x n1) n2: the maps that let decay, rate, value residual and gate follow the input.
LowRank MakeLowRank(const Params& p, const std::string& n, Dim width, Dim rank, const Init& offset,
                    float lr_scale = 1) {
  return {p.LowRank(n + "1", {width, rank}, init::Zero()),
          p.LowRank(n + "2", {rank, width}, init::Orthogonal(0.1f)),
          offset ? p.Vector(n + "0", {1, 1, width}, offset, lr_scale) : Tensor()};
}

/// What state tuning left for sequences to begin with, [H, value, key]; empty where the file has none.
Tensor TunedState(const Params& p, const Shape& shape) {
  return p.Has("time_state") ? p.Vector("time_state", shape, init::Zero()) : Tensor();
}

}  // namespace

Rwkv7TimeMix::Rwkv7TimeMix(const Params& p, const Rwkv7Sizes& c, int layer)
    : heads_(static_cast<int>(c.heads())),
      shift_(p.State("shift", {c.width})),
      wkv_(p.State("wkv", {c.heads(), c.head_size, c.head_size},
                   TunedState(p, {c.heads(), c.head_size, c.head_size}))) {
  const auto [rho, tau] = Depth(layer, c.layers);
  const auto line = [&](Dim n) { return Line(n, c.width) - 0.5; };
  const auto zigzag = [&](Dim n) {
    const double half = (c.head_size - 1) / 2.0, z = (n % c.head_size - half) / half;
    return z * std::abs(z);
  };
  const std::pair<const char*, double> mixes[] = {{"x_r", 0.2}, {"x_w", 0.9}, {"x_k", 0.7},
                                                  {"x_v", 0.7}, {"x_a", 0.9}, {"x_g", 0.2}};
  for (const auto& [name, power] : mixes) {
    mix_.push_back(p.Vector(name, {1, 1, c.width}, Rwkv7MixInit(c.width, power * tau)));
  }
  const double bend = 1 + std::pow(rho, 0.3);
  decay_ = MakeLowRank(
      p, "w", c.width, c.decay_rank,
      init::Element([=](Dim n) { return -5.5 + 6 * std::pow(line(n) + 0.5, bend) + 2.5 * zigzag(n); }), 2);
  rate_ = MakeLowRank(p, "a", c.width, c.rate_rank,
                      init::Element([=](Dim n) { return -0.19 + 0.3 * zigzag(n) + 0.4 * line(n); }));
  if (layer > 0) {
    residual_ = MakeLowRank(p, "v", c.width, c.value_rank,
                            init::Element([=](Dim n) { return 0.73 - 0.4 * line(n); }));
  }
  gate_ = MakeLowRank(p, "g", c.width, c.gate_rank, nullptr);
  k_k_ = p.Vector("k_k", {1, 1, c.width}, init::Element([=](Dim n) { return 0.71 - 0.1 * line(n); }));
  k_a_ = p.Vector("k_a", {1, 1, c.width}, init::Constant(1.02f));
  r_k_ = p.Vector("r_k", {c.heads(), c.head_size}, init::Constant(-0.04f));
  receptance_ = p.Matrix("receptance.weight", {c.width, c.width}, init::Orthogonal(1));
  key_ = p.Matrix("key.weight", {c.width, c.width}, init::Orthogonal(0.1f));
  value_ = p.Matrix("value.weight", {c.width, c.width}, init::Orthogonal(1));
  output_ = p.Matrix("output.weight", {c.width, c.width}, init::Zero());
  const float scale = static_cast<float>(std::pow((1.0 + layer) / c.layers, 0.7));
  norm_weight_ = p.Vector("ln_x.weight", {c.width}, init::Constant(scale));
  norm_bias_ = p.Vector("ln_x.bias", {c.width}, init::Zero());
}

Tensor Rwkv7TimeMix::operator()(const Tensor& x, Tensor& v_first, const Batch& batch,
                                const State& state) const {
  const auto in = ops::ShiftMix(x, mix_, batch, state[shift_]);
  const Tensor &xr = in[0], &xw = in[1], &xk = in[2], &xv = in[3], &xa = in[4], &xg = in[5];

  // All products with the input at once, then all second halves of the low-rank maps.
  std::vector<ops::Product> of_input = {{xr, receptance_}, {xk, key_},
                                        {xv, value_},      decay_.Down(xw, Act::kTanh),
                                        rate_.Down(xa),    gate_.Down(xg, Act::kSigmoid)};
  if (residual_) of_input.push_back(residual_->Down(xv));
  const auto first = ops::Linears(of_input);
  std::vector<ops::Product> of_first = {decay_.Up(first[3]), rate_.Up(first[4], Act::kSigmoid),
                                        gate_.Up(first[5])};
  if (residual_) of_first.push_back(residual_->Up(first[6], Act::kSigmoid));
  const auto second = ops::Linears(of_first);
  const Tensor &r = first[0], &k = first[1], &w = second[0], &a = second[1], &g = second[2];

  Tensor v = first[2];
  if (residual_) {
    v = ops::Lerp(v, v_first, second[3]);
  } else {
    v_first = v;
  }

  const auto [key, removal, replacement] = ops::MakeKeys(k, a, k_k_, k_a_, heads_);
  Tensor y = ops::Wkv7({r, w, key, v, removal, replacement}, batch, state[wkv_], heads_);
  y = ops::GroupNorm(y, norm_weight_, norm_bias_, heads_, 64e-5f);
  return ops::Linear(ops::BonusGate(y, r, key, v, r_k_, g, heads_), output_);
}

Rwkv7ChannelMix::Rwkv7ChannelMix(const Params& p, const TrunkSizes& c, int layer)
    : shift_(p.State("shift", {c.width})),
      x_k_(p.Vector("x_k", {1, 1, c.width}, Rwkv7ChannelMixInit(c, layer))),
      key_(p.Matrix("key.weight", {c.ffn, c.width}, init::Orthogonal(1))),
      value_(p.Matrix("value.weight", {c.width, c.ffn}, init::Zero())) {}

Tensor Rwkv7ChannelMix::operator()(const Tensor& x, const Batch& batch, const State& state) const {
  const Tensor xk = ops::ShiftMix(x, {x_k_}, batch, state[shift_])[0];
  return ops::Linear(ops::Linear(xk, key_, {}, Act::kRelu2), value_);
}

namespace {

struct Block {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  Rwkv7ChannelMix ffn;
  int layer;

  Block(const Params& p, const Rwkv7Sizes& c, int i)
      : ln1(p / "ln1", c.width),
        ln2(p / "ln2", c.width),
        att(p / "att", c, i),
        ffn(p / "ffn", c, i),
        layer(i) {}

  Tensor operator()(Tensor x, Tensor& v_first, const Batch& batch, const State& state) const {
    x = AddBranch(x, att(ln1(x), v_first, batch, state), layer, Branch::kTimeMix);
    return AddBranch(x, ffn(ln2(x), batch, state), layer, Branch::kChannelMix);
  }
};

}  // namespace

std::unique_ptr<Model> MakeRwkv7(const Params& params, const Sizes& sizes) {
  const Rwkv7Sizes c(sizes);
  return std::make_unique<Trunk<Block>>(params, c, 1e-4f,
                                        [&c](const Params& p, int layer) { return Block(p, c, layer); });
}

}  // namespace linnet::models
