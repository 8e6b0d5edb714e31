// Products of small matrices that lie in the L1 cache, for the chunked recurrences, and transposition.
//
// Included once per target, hence the toggled guard.
#if defined(LINNET_KERNELS_CPU_SMALL_MATMUL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CPU_SMALL_MATMUL_H_
#undef LINNET_KERNELS_CPU_SMALL_MATMUL_H_
#else
#define LINNET_KERNELS_CPU_SMALL_MATMUL_H_
#endif

#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// The left factor: element (i, j) is data[i * row_stride + j * column_stride], so a transposed factor costs
/// nothing.
struct Factor {
  const float* data;
  size_t row_stride, column_stride;
};

inline constexpr int kTileRows =
    HWY_TARGET == HWY_AVX2 ? 4 : 8;  // times two vectors: what the registers hold

template <int kRows, int kVecs>
HWY_INLINE void MatMulTile(const Factor& a, const float* HWY_RESTRICT b, size_t b_stride,
                           float* HWY_RESTRICT c, size_t c_stride, size_t k, bool accumulate) {
  const size_t lanes = Lanes();
  Vec sums[kRows][kVecs];
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVecs; ++v) {
      sums[row][v] = accumulate ? hn::LoadU(F32(), c + row * c_stride + v * lanes) : hn::Zero(F32());
    }
  }
  const float* column = a.data;
  for (size_t p = 0; p < k; ++p) {
    Vec right[kVecs];
    for (int v = 0; v < kVecs; ++v) right[v] = hn::LoadU(F32(), b + v * lanes);
    for (int row = 0; row < kRows; ++row) {
      const Vec left = hn::Set(F32(), column[row * a.row_stride]);
      for (int v = 0; v < kVecs; ++v) sums[row][v] = hn::MulAdd(left, right[v], sums[row][v]);
    }
    column += a.column_stride;
    b += b_stride;
  }
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVecs; ++v) hn::StoreU(sums[row][v], F32(), c + row * c_stride + v * lanes);
  }
}

template <int kVecs>
HWY_INLINE void MatMulPanel(Factor a, const float* b, size_t b_stride, float* c, size_t c_stride, size_t m,
                            size_t k, bool accumulate) {
  size_t row = 0;
  for (; row + kTileRows <= m; row += kTileRows) {
    MatMulTile<kTileRows, kVecs>(a, b, b_stride, c + row * c_stride, c_stride, k, accumulate);
    a.data += kTileRows * a.row_stride;
  }
  for (; row < m; row += 4) {
    MatMulTile<4, kVecs>(a, b, b_stride, c + row * c_stride, c_stride, k, accumulate);
    a.data += 4 * a.row_stride;
  }
}

/// c [m, n] = a b, or += where `accumulate`; b [k, n]. m is a multiple of 4 and n of the number of lanes.
HWY_INLINE void SmallMatMul(size_t m, size_t n, size_t k, const Factor& a, const float* b, size_t b_stride,
                            float* c, size_t c_stride, bool accumulate = false) {
  const size_t lanes = Lanes();
  size_t column = 0;
  for (; column + 2 * lanes <= n; column += 2 * lanes) {
    MatMulPanel<2>(a, b + column, b_stride, c + column, c_stride, m, k, accumulate);
  }
  if (column < n) MatMulPanel<1>(a, b + column, b_stride, c + column, c_stride, m, k, accumulate);
}

/// to [columns, rows] = from [rows, columns]; both counts are multiples of 4.
HWY_INLINE void Transpose(const float* from, size_t rows, size_t columns, float* to) {
#if HWY_TARGET == HWY_SCALAR
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
  }
#else
  const hn::CappedTag<float, 4> d;
  const hn::Repartition<double, decltype(d)> pairs;
  for (size_t i = 0; i < rows; i += 4) {
    for (size_t j = 0; j < columns; j += 4) {
      const float* block = from + i * columns + j;
      const auto r0 = hn::LoadU(d, block), r1 = hn::LoadU(d, block + columns);
      const auto r2 = hn::LoadU(d, block + 2 * columns), r3 = hn::LoadU(d, block + 3 * columns);
      const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, r0, r1));
      const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, r2, r3));
      const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, r0, r1));
      const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, r2, r3));
      float* out = to + j * rows + i;
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, out);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, out + rows);
      hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, out + 2 * rows);
      hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, out + 3 * rows);
    }
  }
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();
#endif
