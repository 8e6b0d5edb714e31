// The row before: y_t = x_{t-1}, a copy by one row.
#include <cstring>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

void CopyRows(const float* from, int64_t rows, int64_t width, float* to) {
  ParallelFor(rows, GrainRows(width), [&](int64_t begin, int64_t end) {
    std::memcpy(to + begin * width, from + begin * width, (end - begin) * width * sizeof(float));
  });
}

}  // namespace

void CpuBackend::Previous(const Tensor& x, const Sequences& sequences, const StateRef& state,
                          const Tensor& y) {
  const int64_t width = x.dim(1);
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s] * width, slot = sequences.slot[s] * width;
    const int64_t others = sequences.length(s) - 1;
    std::copy_n(state.in.data() + slot, width, y.data() + first);
    CopyRows(x.data() + first, others, width, y.data() + first + width);
    std::copy_n(x.data() + first + others * width, width, state.out.data() + slot);
  }
}

void CpuBackend::PreviousBackward(const Tensor& dy, const Sequences& sequences, const Tensor& dlast,
                                  const Tensor& dx, const Tensor& dstate) {
  const int64_t width = dy.dim(1);
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s] * width, slot = sequences.slot[s] * width;
    const int64_t others = sequences.length(s) - 1;
    CopyRows(dy.data() + first + width, others, width, dx.data() + first);
    float* last = dx.data() + first + others * width;
    for (int64_t c = 0; c < width; ++c) last[c] = dlast ? dlast.data()[slot + c] : 0.0f;
    for (int64_t c = 0; c < width && dstate; ++c) dstate.data()[slot + c] += dy.data()[first + c];
  }
}

}  // namespace linnet
