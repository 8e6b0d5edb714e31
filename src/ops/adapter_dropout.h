// LoRA's own dropout (Hu et al., arXiv:2106.09685; as peft and RWKV-PEFT have it): in training some elements
// of what A is multiplied with become 0 and the others larger by 1 / (1 - probability),
//
//     y = x W^T + scale (drop(x) A^T) B^T
//
// while the product with the weight has all of x. Each adapter has masks of its own, which follow from seed,
// step and row as those of ops/dropout.h do, and its number.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "ops/dropout.h"

namespace linnet::ops {

/// While in scope, the products of this thread drop for the adapters with these factors A, which are numbered
/// in this order; for no others. Seed, step and rows are those of the DropoutScope that is in scope, too.
class AdapterDropoutScope {
 public:
  /// Throws Error if the probability is not in [0, 1).
  AdapterDropoutScope(float probability, std::span<const Tensor> factors);
  ~AdapterDropoutScope();
  AdapterDropoutScope(const AdapterDropoutScope&) = delete;
  AdapterDropoutScope& operator=(const AdapterDropoutScope&) = delete;

 private:
  friend class AdapterDropout;
  float probability_;
  std::unordered_map<const void*, int> numbers_;  // by the storage of A
  const AdapterDropoutScope* outer_;
};

/// What one product with an adapter drops: for its forward and its backward pass, which its op records.
class AdapterDropout {
 public:
  /// Of the adapter with the factor `a`, by what is in scope now, for x of so many rows. Throws Error if the
  /// mask in scope is for another batch.
  AdapterDropout(const Tensor& a, int64_t rows);
  /// Whether anything is dropped.
  bool any() const { return mask_.probability > 0; }
  /// x [N, in] with dropout; or the gradient of x from that of x with dropout. x itself if nothing is
  /// dropped.
  Tensor operator()(const Tensor& x) const;

 private:
  DropoutMask mask_;  // its probability is the adapter's
  int number_ = 0;
};

}  // namespace linnet::ops
