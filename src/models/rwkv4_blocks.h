// What RWKV-4 shares with SpikeGPT, which puts neurons behind its mixes (rwkv4.cc).
#pragma once

#include "models/gated.h"
#include "models/trunk.h"

namespace linnet::models {

class Rwkv4TimeMix {
 public:
  Rwkv4TimeMix(const Params& p, Dim width, const Depth& depth);
  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const;

 private:
  StateVar shift_, wkv_;
  std::vector<Tensor> mix_;
  Tensor decay_, first_, key_, value_, receptance_, output_;
};

GatedChannelMix MakeRwkv4ChannelMix(const Params& p, const TrunkSizes& c, const Depth& depth);

}  // namespace linnet::models
