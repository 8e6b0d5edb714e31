// Batches for the tests of ops that look along time.
#pragma once

#include <vector>

#include "kernels/sequences.h"

namespace linnet {

/// Sequences of these lengths; slots in reverse order, slot 0 unused.
inline Sequences Ragged(const std::vector<int>& lengths) {
  Sequences sequences;
  for (size_t s = 0; s < lengths.size(); ++s) {
    sequences.start.push_back(sequences.start.back() + lengths[s]);
    sequences.slot.push_back(static_cast<int>(lengths.size() - s));
  }
  return sequences;
}

inline const std::vector<std::vector<int>> kLengths = {{1}, {2, 1}, {15}, {16}, {17, 3}, {40, 1, 33}};

}  // namespace linnet
