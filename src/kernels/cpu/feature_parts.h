// What recurrences with a state of their own for each feature share (state_space.cc, dplr_recurrence.cc): how
// they are cut into parts for threads, and which states are kept for the backward pass.
#pragma once

#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {

/// Rows of a chunk: the states at its borders are kept, those within it computed again.
inline constexpr size_t kStateChunk = 32;

inline int64_t StateChunks(int64_t length) {
  constexpr auto kRows = static_cast<int64_t>(kStateChunk);
  return (length + kRows - 1) / kRows;
}

inline int StateChunks(const Sequences& sequences) {
  int64_t count = 0;
  for (int s = 0; s < sequences.sequences(); ++s) count += StateChunks(sequences.length(s));
  return static_cast<int>(count);
}

/// Features [first, first + n) of one sequence.
struct FeaturePart {
  int64_t first, n;
  int sequence;
  int64_t row;       // the sequence's first
  int64_t snapshot;  // which of the states kept is its first
};

/// Calls body(part) for ranges of `width` features of every sequence, in parallel over features. A state has
/// `modes` numbers a feature.
template <class Body>
void ForFeatureParts(const Sequences& sequences, int64_t width, int64_t modes, const Body& body) {
  constexpr int64_t kUnit = 16;  // features: one cache line
  const int64_t units = (width + kUnit - 1) / kUnit;
  const int64_t cost = sequences.start.back() * kUnit * modes;  // a mode of a feature's step is some six sums
  ParallelFor(units, std::max<int64_t>(1, kGrainElements / std::max<int64_t>(1, cost)),
              [&](int64_t begin, int64_t end) {
                FeaturePart part{begin * kUnit, std::min(end * kUnit, width) - begin * kUnit, 0, 0, 0};
                for (; part.sequence < sequences.sequences(); ++part.sequence) {
                  part.row = sequences.start[part.sequence];
                  body(part);
                  part.snapshot += StateChunks(sequences.length(part.sequence));
                }
              });
}

/// The gradients [S, state_size] of the states that the sequences leave, which a backward pass turns into
/// those of the states that they began with. dstate_out may be empty.
inline Tensor LeftGradients(const Tensor& dstate_out, const Sequences& sequences, int64_t state_size) {
  const Tensor carried = Tensor::Zeros({sequences.sequences(), state_size});
  for (int s = 0; s < sequences.sequences() && dstate_out; ++s) {
    std::copy_n(dstate_out.data() + sequences.slot[s] * state_size, state_size,
                carried.data() + s * state_size);
  }
  return carried;
}

/// dstate_in, which may be empty, += those.
inline void AddBegunGradients(const Tensor& carried, const Sequences& sequences, const Tensor& dstate_in) {
  const int64_t state_size = carried.dim(1);
  for (int s = 0; s < sequences.sequences() && dstate_in; ++s) {
    float* sum = dstate_in.data() + sequences.slot[s] * state_size;
    for (int64_t i = 0; i < state_size; ++i) sum[i] += carried.data()[s * state_size + i];
  }
}

}  // namespace linnet
