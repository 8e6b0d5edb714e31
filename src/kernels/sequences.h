// Sequences: how the rows of a packed, ragged batch fall into sequences.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace linnet {

/// Sequence s owns rows [start[s], start[s + 1]) and continues the state in slot[s].
struct Sequences {
  std::vector<int> start{0};  // S + 1
  std::vector<int> slot;      // S, each slot at most once

  int sequences() const { return static_cast<int>(slot.size()); }
  int length(int s) const { return start[s + 1] - start[s]; }
};

/// A sequence may be cut at any multiple of so many rows from its beginning, and is the same to the bit as
/// uncut, if at least as many rows follow: the chunks of recurrences are no longer than that, and a few rows
/// that stand alone, which would go step by step, are fewer.
inline constexpr int kCutRows = 16;

/// One state variable as an op sees it: [slots, ...] before and after the batch. Both are the same tensor
/// when states are updated in place (generation); they differ where the initial state is needed once more
/// (training).
struct StateRef {
  Tensor in, out;
};

}  // namespace linnet
