// Dropout (Srivastava et al., 2014) of a training step: some elements become 0 and the others larger by
// 1 / (1 - probability), so that the expected value stays.
//
// Which ones follows from seed, step, site and the element's row and column, not from what was drawn before:
// a block that is run again in the backward pass, a run that was resumed and a step that is cut into other
// batches have the same masks. None is kept; the gradient's pass makes it again.
#pragma once

#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace linnet::ops {

struct DropoutMask {
  float probability = 0;  // of being dropped; 0: no dropout
  uint64_t seed = 0;
  uint64_t step = 0;
  int64_t first_row = 0;  // the batch's first row, counted through all batches of the step
  /// Of a batch that is a piece of another: where its rows lie there. Null: they are its rows.
  std::shared_ptr<const std::vector<int64_t>> rows = nullptr;
};

/// While in scope, the models of this thread drop with this mask. There is none outside of training.
class DropoutScope {
 public:
  explicit DropoutScope(const DropoutMask& mask);
  ~DropoutScope();
  DropoutScope(const DropoutScope&) = delete;
  DropoutScope& operator=(const DropoutScope&) = delete;

 private:
  DropoutMask outer_;
};

/// While in scope, batches are pieces of another, whose rows `rows` they have, and the mask is that of these.
class DropoutRows {
 public:
  explicit DropoutRows(std::shared_ptr<const std::vector<int64_t>> rows);
  ~DropoutRows();
  DropoutRows(const DropoutRows&) = delete;
  DropoutRows& operator=(const DropoutRows&) = delete;

 private:
  std::shared_ptr<const std::vector<int64_t>> outer_;
};

/// x [N, C] with dropout by the mask in scope; x itself without one. `site` tells apart the places of a
/// model. Throws Error if the probability is not in [0, 1).
Tensor Dropout(const Tensor& x, int site);

/// A gate f [N, C] that keeps, with zoneout (Krueger et al., arXiv:1606.01305) by the mask in scope: some
/// elements become 1, so that their channels keep what they have, and nothing is scaled. f itself without a
/// mask.
Tensor Zoneout(const Tensor& f, int site);

}  // namespace linnet::ops
