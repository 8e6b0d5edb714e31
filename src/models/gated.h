// The block of RWKV-4, 5 and 6, which differ in their time mix alone. The channel mix has a gate:
//
//     sigmoid(W_r h_r) * W_v relu(W_k h_k)^2        with h_k, h_r mixed with the token before
#pragma once

#include "models/residual.h"
#include "nn/layers.h"

namespace linnet::models {

class GatedChannelMix {
 public:
  /// Both mixes begin as `mix`. The checkpoints call a share of the present token time_mix_k, time_mix_r and
  /// one of the token before time_maa_k, time_maa_r.
  GatedChannelMix(const Params& p, Dim width, Dim ffn, MixShare share, const Init& mix, float key_gain)
      : share_(share), shift_(p.State("shift", {width})) {
    const std::string name = share == MixShare::kNow ? "time_mix_" : "time_maa_";
    for (const char* part : {"k", "r"}) mix_.push_back(p.Vector(name + part, {1, 1, width}, mix));
    key_ = p.Matrix("key.weight", {ffn, width}, init::Orthogonal(key_gain));
    receptance_ = p.Matrix("receptance.weight", {width, width}, init::Zero());
    value_ = p.Matrix("value.weight", {width, ffn}, init::Zero());
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    const auto in = ops::ShiftMix(x, mix_, batch, state[shift_], share_);
    const Tensor k = ops::Linear(in[0], key_, {}, ops::Act::kRelu2);
    return ops::Gate(ops::Linear(k, value_), ops::Linear(in[1], receptance_), GateKind::kSigmoid);
  }

 private:
  MixShare share_;
  StateVar shift_;
  std::vector<Tensor> mix_;
  Tensor key_, receptance_, value_;
};

template <class TimeMix>
struct GatedBlock {
  Norm ln1, ln2;
  TimeMix att;
  GatedChannelMix ffn;
  int layer;

  Tensor operator()(Tensor x, Tensor& /*carried*/, const Batch& batch, const State& state) const {
    x = AddBranch(x, att(ln1(x), batch, state), layer, Branch::kTimeMix);
    return AddBranch(x, ffn(ln2(x), batch, state), layer, Branch::kChannelMix);
  }
};

}  // namespace linnet::models
