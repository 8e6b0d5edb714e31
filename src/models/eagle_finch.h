// What the time mixes of RWKV-5 "Eagle" and RWKV-6 "Finch" have in common: projections, heads with matrices
// as states, a norm of each head and a gate. Paper: Peng et al., arXiv:2404.05892.
//
//     y_t = r_t (S_{t-1} + diag(u) k_t^T v_t)    S_t = diag(d_t) S_{t-1} + k_t^T v_t    d_t = exp(-exp(w_t))
//     out = W_o (GroupNorm(y) * silu(W_g h_g))
#pragma once

#include "models/trunk.h"

namespace linnet::models {

/// Initial values of time_decay, of n numbers in all.
inline Init DecayInit(const Depth& depth, Dim n) {
  const double bend = 0.7 + 1.3 * depth.rho;
  return init::Element([=](Dim c) { return -6 + 5 * std::pow(Line(c, n), bend); });
}

/// Those of time_faaaa, with or without a zigzag from channel to channel.
inline Init BonusInit(const Depth& depth, Dim n, double zigzag) {
  const double rho = depth.rho;
  return init::Element([=](Dim c) { return rho * (1 - Line(c, n)) + zigzag * Zigzag(c); });
}

/// The state that sequences begin with: what state tuning left as time_state [H, value, key], transposed;
/// zeros (an empty tensor) where the checkpoint has none.
inline Tensor TunedState(const Params& p, Dim heads, Dim n) {
  if (!p.Has("time_state")) return {};
  return TransposedHeads(p.Vector("time_state", {heads, n, n}, init::Zero()));
}

class MatrixStateMix {
 public:
  MatrixStateMix(const Params& p, const HeadSizes& c, int layer, bool gated)
      : heads_(static_cast<int>(c.heads())),
        wkv_(p.State("wkv", {c.heads(), c.head_size, c.head_size}, TunedState(p, c.heads(), c.head_size))) {
    const Shape square{c.width, c.width};
    receptance_ = p.Matrix("receptance.weight", square, init::Orthogonal(1));
    key_ = p.Matrix("key.weight", square, init::Orthogonal(0.1f));
    value_ = p.Matrix("value.weight", square, init::Orthogonal(1));
    output_ = p.Matrix("output.weight", square, init::Zero());
    if (gated) gate_ = p.Matrix("gate.weight", square, init::Orthogonal(0.1f));
    const float scale = static_cast<float>(std::pow((1.0 + layer) / static_cast<double>(c.layers), 0.7));
    norm_weight_ = p.Vector("ln_x.weight", {c.width}, init::Constant(scale));
    norm_bias_ = p.Vector("ln_x.bias", {c.width}, init::Zero());
  }

  /// The input, mixed with the token before, for each projection; g is empty without a gate.
  struct Mixed {
    const Tensor &r, &k, &v, &g;
  };
  Tensor operator()(const Mixed& in, const Tensor& w, const Tensor& u, const Batch& batch,
                    const State& state) const {
    const auto rkv = ops::Linears({{in.r, receptance_}, {in.k, key_}, {in.v, value_}});
    const Tensor &r = rkv[0], &k = rkv[1], &v = rkv[2];
    Tensor y = ops::Wkv6({r, k, v, w, u}, batch, state[wkv_], heads_);
    y = ops::GroupNorm(y, norm_weight_, norm_bias_, heads_, 64e-5f);
    if (gate_) y = ops::Gate(y, ops::Linear(in.g, gate_), GateKind::kSilu);
    return ops::Linear(y, output_);
  }

 private:
  int heads_;
  StateVar wkv_;
  Tensor receptance_, key_, value_, output_, gate_, norm_weight_, norm_bias_;
};

}  // namespace linnet::models
