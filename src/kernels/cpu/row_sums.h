// One row or a few against many rows: products with each of them, and their weighted sum. A few together read
// the many rows once.
//
// Included once per target, hence the toggled guard.
#if defined(LINNET_KERNELS_CPU_ROW_SUMS_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CPU_ROW_SUMS_H_
#undef LINNET_KERNELS_CPU_ROW_SUMS_H_
#else
#define LINNET_KERNELS_CPU_ROW_SUMS_H_
#endif

#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// out[q * stride + j] = <x[q], rows[j]>
template <int kQ, int kJ>
HWY_INLINE void DotTile(const float* HWY_RESTRICT x, const float* HWY_RESTRICT rows, size_t n, size_t stride,
                        float* HWY_RESTRICT out) {
  Vec sums[kQ][kJ];
  for (auto& row : sums) {
    for (Vec& sum : row) sum = hn::Zero(F32());
  }
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    Vec row[kJ];
    for (int j = 0; j < kJ; ++j) row[j] = io.Load(rows + j * n + i);
    for (int q = 0; q < kQ; ++q) {
      const Vec v = io.Load(x + q * n + i);
      for (int j = 0; j < kJ; ++j) sums[q][j] = hn::MulAdd(v, row[j], sums[q][j]);
    }
  });
  for (int q = 0; q < kQ; ++q) {
    for (int j = 0; j < kJ; ++j) out[q * stride + j] = Sum(sums[q][j]);
  }
}

/// y[q] += sum_j weights[q * stride + j * step] rows[j]
template <int kQ, int kJ>
HWY_INLINE void AddTile(const float* HWY_RESTRICT weights, size_t stride, size_t step,
                        const float* HWY_RESTRICT rows, size_t n, float* HWY_RESTRICT y) {
  Vec w[kQ][kJ];
  for (int q = 0; q < kQ; ++q) {
    for (int j = 0; j < kJ; ++j) w[q][j] = hn::Set(F32(), weights[q * stride + j * step]);
  }
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    Vec row[kJ];
    for (int j = 0; j < kJ; ++j) row[j] = io.Load(rows + j * n + i);
    for (int q = 0; q < kQ; ++q) {
      Vec sum = io.Load(y + q * n + i);
      for (int j = 0; j < kJ; ++j) sum = hn::MulAdd(w[q][j], row[j], sum);
      io.Store(sum, y + q * n + i);
    }
  });
}

/// How many of many rows a tile takes: enough sums that do not wait for each other.
template <int kQ>
inline constexpr int kRowsAtOnce = kQ == 1 ? 4 : 2;

/// DotTile over `count` rows of n elements. The result for a row of x is the same to the bit for every kQ.
template <int kQ = 1>
HWY_INLINE void DotRows(const float* x, const float* rows, size_t count, size_t n, size_t stride,
                        float* out) {
  constexpr int kJ = kRowsAtOnce<kQ>;
  size_t j = 0;
  for (; j + kJ <= count; j += kJ) DotTile<kQ, kJ>(x, rows + j * n, n, stride, out + j);
  for (; j < count; ++j) DotTile<kQ, 1>(x, rows + j * n, n, stride, out + j);
}

/// AddTile over `count` rows of n elements. The result for a row of y is the same to the bit for every kQ.
template <int kQ = 1>
HWY_INLINE void AddWeightedRows(const float* weights, size_t stride, size_t step, const float* rows,
                                size_t count, size_t n, float* y) {
  constexpr int kJ = kRowsAtOnce<kQ>;
  size_t j = 0;
  for (; j + kJ <= count; j += kJ) {
    AddTile<kQ, kJ>(weights + j * step, stride, step, rows + j * n, n, y);
  }
  for (; j < count; ++j) AddTile<kQ, 1>(weights + j * step, stride, step, rows + j * n, n, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();
#endif
