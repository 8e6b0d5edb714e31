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

/// One state variable as an op sees it: [slots, ...] before and after the batch. Both are the same tensor
/// when states are updated in place (generation); they differ where the initial state is needed once more
/// (training).
struct StateRef {
  Tensor in, out;
};

}  // namespace linnet
