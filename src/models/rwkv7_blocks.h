// What RWKV-7 shares with its successors, 7a and 7b of deep embeddings and RWKV-8: the time mix and the
// channel mix (rwkv7.cc), and between 7a and 7b their channel mix (rwkv7a.cc).
#pragma once

#include <optional>

#include "models/rwkv7.h"

namespace linnet::models {

/// Initial value of a mix of token shift: 1 - (c / C)^power.
Init Rwkv7MixInit(Dim width, double power);
/// That of a channel mix.
Init Rwkv7ChannelMixInit(const TrunkSizes& c, int layer);

class Rwkv7TimeMix {
 public:
  Rwkv7TimeMix(const Params& p, const Rwkv7Sizes& c, int layer);
  /// `v_first` is the first layer's value: set by that layer, read by the others.
  Tensor operator()(const Tensor& x, Tensor& v_first, const Batch& batch, const State& state) const;

 private:
  int heads_;
  StateVar shift_, wkv_;
  std::vector<Tensor> mix_;
  LowRank decay_, rate_, gate_;
  std::optional<LowRank> residual_;  // of the value; absent in the first layer
  Tensor k_k_, k_a_, r_k_, receptance_, key_, value_, output_, norm_weight_, norm_bias_;
};

/// W_v relu(W_k h)^2, with h mixed with the token before.
class Rwkv7ChannelMix {
 public:
  Rwkv7ChannelMix(const Params& p, const TrunkSizes& c, int layer);
  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const;

 private:
  StateVar shift_;
  Tensor x_k_, key_, value_;
};

/// The channel mix whose hidden channels are scaled by the token's deep embedding.
class Rwkv7DeepChannelMix {
 public:
  Rwkv7DeepChannelMix(const Params& p, const Rwkv7Sizes& c, int layer);
  /// `e` is the normed embedding of the tokens.
  Tensor operator()(const Tensor& x, const Tensor& e, const Batch& batch, const State& state) const;

 private:
  StateVar shift_;
  Tensor x_k_, key_, value_, s_emb_, s_emb_x_, s0_, s1_, s2_;
};

}  // namespace linnet::models
