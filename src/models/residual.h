// How the branches of a block come into the residual stream: they are added, and in a training step with
// dropout some of the sum is dropped. RWKV-LM has it so (RWKV-v5, src/model.py, of RWKV-5 and 6): after the
// embedding, before its norm, and after each of the two additions of a block.
#pragma once

#include "nn/breaks.h"
#include "ops/dropout.h"
#include "ops/ops.h"

namespace linnet::models {

/// The branches of a block, in order.
enum class Branch { kTimeMix, kChannelMix };

inline constexpr int kEmbeddingSite = 0;

/// The place in a model at which a branch comes in.
inline int SiteOf(int layer, Branch branch) { return 1 + 2 * layer + static_cast<int>(branch); }

/// x + y, where y is what a branch of block `layer` gave; a break follows.
inline Tensor AddBranch(const Tensor& x, const Tensor& y, int layer, Branch branch) {
  const Tensor sum = ops::Dropout(ops::Add(x, y), SiteOf(layer, branch));
  Breaks::Offer();
  return sum;
}

}  // namespace linnet::models
