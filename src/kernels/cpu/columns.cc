// Cutting rows into parts.
#include <cstring>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

/// Calls copy(offset in x, offset in parts, elements) for every part of every row.
template <class Copy>
void ForParts(const Tensor& parts, const Copy& copy) {
  const int64_t count = parts.dim(0), rows = parts.dim(1), width = parts.dim(2);
  ParallelFor(rows, GrainRows(count * width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t p = 0; p < count; ++p) copy((i * count + p) * width, (p * rows + i) * width, width);
    }
  });
}

}  // namespace

void CpuBackend::SplitColumns(const Tensor& x, const Tensor& parts) {
  ForParts(parts, [&](int64_t whole, int64_t part, int64_t n) {
    std::memcpy(parts.data() + part, x.data() + whole, n * sizeof(float));
  });
}

void CpuBackend::JoinColumns(const Tensor& parts, const Tensor& x) {
  ForParts(parts, [&](int64_t whole, int64_t part, int64_t n) {
    std::memcpy(x.data() + whole, parts.data() + part, n * sizeof(float));
  });
}

}  // namespace linnet
