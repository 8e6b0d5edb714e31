// Products in float32 on any CPU, and of bf16 where it has no instructions for them. products.h says what is
// computed.
#include <algorithm>

#include "kernels/cpu/products.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/products_simd.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// Rows of a that the registers have sums for: 24 of 32, or 12 of 16.
inline constexpr int kMostRows = HWY_TARGET == HWY_AVX2 ? 3 : kTileMostRows;

template <class T, int kRows>
HWY_INLINE void Tile(const ProductTile<T>& t, int row) {
  const F32 d;
  const WholeVector io;
  const size_t lanes = Lanes();
  Vec sums[kRows][kTileColumns];
  float* kept = t.sums + row * kTileColumns * lanes;
  for (int i = 0; i < kRows * kTileColumns; ++i) {
    sums[i / kTileColumns][i % kTileColumns] = t.first ? hn::Zero(d) : hn::Load(d, kept + i * lanes);
  }
  const T* a = t.a + row * t.a_stride;
  for (size_t k = 0; k < static_cast<size_t>(t.k); k += lanes) {
    Vec b[kTileColumns];
    for (int n = 0; n < kTileColumns; ++n) b[n] = io.Load(t.b + n * t.b_stride + k);
    for (int m = 0; m < kRows; ++m) {
      const Vec x = io.Load(a + m * t.a_stride + k);
      for (int n = 0; n < kTileColumns; ++n) sums[m][n] = hn::MulAdd(x, b[n], sums[m][n]);
    }
  }
  for (int i = 0; i < kRows * kTileColumns; ++i) {
    const int m = i / kTileColumns, n = i % kTileColumns;
    if (!t.last) {
      hn::Store(sums[m][n], d, kept + i * lanes);
    } else if (n < t.columns) {
      t.c[(row + m) * t.c_stride + n] = Sum(sums[m][n]);
    }
  }
}

/// `rows` rows, at most kMost, as one tile.
template <class T, int kMost>
HWY_INLINE void TileOfRows(const ProductTile<T>& t, int row, int rows) {
  if (rows == kMost) return Tile<T, kMost>(t, row);
  if constexpr (kMost > 1) TileOfRows<T, kMost - 1>(t, row, rows);
}

template <class T>
HWY_INLINE void Tiles(const ProductTile<T>& t) {
  for (int row = 0; row < t.rows; row += kMostRows) {
    TileOfRows<T, kMostRows>(t, row, std::min(kMostRows, t.rows - row));
  }
}
void TilesF32(const ProductTile<float>& t) { Tiles(t); }
void TilesBf16(const ProductTile<Bf16>& t) { Tiles(t); }

HWY_INLINE Vec LoadColumns(const WholeVector& io, const F16* p) {
  const hn::Rebind<hwy::float16_t, F32> half;
  (void)io;
  return hn::PromoteTo(F32(), hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(p)));
}
HWY_INLINE Vec LoadColumns(const PartVector& io, const F16* p) {
  HWY_ALIGN float values[HWY_MAX_BYTES / 4] = {};
  for (size_t i = 0; i < io.count; ++i) values[i] = ToFloat(p[i]);
  return hn::Load(F32(), values);
}
template <class Io, class T>
HWY_INLINE Vec LoadColumns(const Io& io, const T* p) {
  return io.Load(p);
}

/// kRows rows by kVecs vectors of c, summed along k in order.
template <int kRows, int kVecs, class Io, class T>
HWY_INLINE void ColumnTile(const Io& io, const float* a, size_t k, const T* b, size_t n, float* c) {
  const size_t lanes = Lanes();
  Vec sums[kRows][kVecs];
  for (auto& row : sums) {
    for (Vec& sum : row) sum = hn::Zero(F32());
  }
  for (size_t i = 0; i < k; ++i, b += n) {
    Vec right[kVecs];
    for (int v = 0; v < kVecs; ++v) right[v] = LoadColumns(io, b + v * lanes);
    for (int m = 0; m < kRows; ++m) {
      const Vec left = hn::Set(F32(), a[m * k + i]);
      for (int v = 0; v < kVecs; ++v) sums[m][v] = hn::MulAdd(left, right[v], sums[m][v]);
    }
  }
  for (int m = 0; m < kRows; ++m) {
    for (int v = 0; v < kVecs; ++v) io.Store(sums[m][v], c + m * n + v * lanes);
  }
}

/// `rows` rows, at most kMost, as one tile.
template <int kMost, int kVecs, class Io, class T>
HWY_INLINE void ColumnTileOfRows(const Io& io, const float* a, int64_t rows, size_t k, const T* b, size_t n,
                                 float* c) {
  if (rows == kMost) return ColumnTile<kMost, kVecs>(io, a, k, b, n, c);
  if constexpr (kMost > 1) ColumnTileOfRows<kMost - 1, kVecs>(io, a, rows, k, b, n, c);
}

/// All m rows of some columns.
template <int kVecs, class Io, class T>
HWY_INLINE void ColumnPanel(const Io& io, const float* a, int64_t m, size_t k, const T* b, size_t n,
                            float* c) {
  for (int64_t row = 0; row < m; row += kMostRows) {
    ColumnTileOfRows<kMostRows, kVecs>(io, a + row * k, std::min<int64_t>(kMostRows, m - row), k, b, n,
                                       c + row * n);
  }
}

/// kDepth rows of b, added to a part of c in order.
template <int kDepth, class Io, class T>
HWY_INLINE void AddRows(const Io& io, const float* a, const T* b, size_t n, float* c) {
  Vec sum = io.Load(c);
  for (int i = 0; i < kDepth; ++i) sum = hn::MulAdd(hn::Set(F32(), a[i]), LoadColumns(io, b + i * n), sum);
  io.Store(sum, c);
}

/// A few rows of b, of whole width.
template <int kDepth, class T>
HWY_INLINE void AddWholeRows(const float* a, const T* b, size_t n, float* c, size_t begin, size_t end) {
  const size_t lanes = Lanes();
  size_t at = begin;
  for (; at + lanes <= end; at += lanes) AddRows<kDepth>(WholeVector(), a, b + at, n, c + at);
  if (at < end) AddRows<kDepth>(PartVector{end - at}, a, b + at, n, c + at);
}

/// One row on the left is bound by memory, which answers best to whole rows of b: the sums lie in c
/// meanwhile.
template <class T>
HWY_INLINE void SingleRow(const float* a, size_t k, const T* b, size_t n, float* c, size_t begin,
                          size_t end) {
  constexpr int kDepth = 4;
  std::fill(c + begin, c + end, 0.0f);
  size_t i = 0;
  for (; i + kDepth <= k; i += kDepth) AddWholeRows<kDepth>(a + i, b + i * n, n, c, begin, end);
  for (; i < k; ++i) AddWholeRows<1>(a + i, b + i * n, n, c, begin, end);
}

template <class T>
HWY_INLINE void Columns(const float* a, int64_t m, size_t k, const T* b, size_t n, float* c, size_t begin,
                        size_t end) {
  if (m == 1) return SingleRow(a, k, b, n, c, begin, end);
  const size_t lanes = Lanes();
  const WholeVector io;
  size_t at = begin;
  for (; at + 4 * lanes <= end; at += 4 * lanes) ColumnPanel<4>(io, a, m, k, b + at, n, c + at);
  for (; at + lanes <= end; at += lanes) ColumnPanel<1>(io, a, m, k, b + at, n, c + at);
  if (at < end) ColumnPanel<1>(PartVector{end - at}, a, m, k, b + at, n, c + at);
}

void ColumnsF32(const float* a, int64_t m, size_t k, const float* b, size_t n, float* c, size_t begin,
                size_t end) {
  Columns(a, m, k, b, n, c, begin, end);
}
void ColumnsBf16(const float* a, int64_t m, size_t k, const Bf16* b, size_t n, float* c, size_t begin,
                 size_t end) {
  Columns(a, m, k, b, n, c, begin, end);
}
void ColumnsF16(const float* a, int64_t m, size_t k, const F16* b, size_t n, float* c, size_t begin,
                size_t end) {
  Columns(a, m, k, b, n, c, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(TilesF32);
HWY_EXPORT(TilesBf16);
HWY_EXPORT(ColumnsF32);
HWY_EXPORT(ColumnsBf16);
HWY_EXPORT(ColumnsF16);

void MultiplyTile(const ProductTile<float>& tile) { HWY_DYNAMIC_DISPATCH(TilesF32)(tile); }
void MultiplyTile(const ProductTile<Bf16>& tile) { HWY_DYNAMIC_DISPATCH(TilesBf16)(tile); }

void MultiplyColumns(const float* a, const Tensor& b, const Tensor& c, int64_t begin, int64_t end) {
  const int64_t m = c.dim(0), k = b.dim(0), n = b.dim(1);
  switch (b.dtype()) {
    case DType::kBf16:
      return HWY_DYNAMIC_DISPATCH(ColumnsBf16)(a, m, k, b.data<Bf16>(), n, c.data(), begin, end);
    case DType::kF16:
      return HWY_DYNAMIC_DISPATCH(ColumnsF16)(a, m, k, b.data<F16>(), n, c.data(), begin, end);
    default:
      return HWY_DYNAMIC_DISPATCH(ColumnsF32)(a, m, k, b.data(), n, c.data(), begin, end);
  }
}

}  // namespace linnet
#endif  // HWY_ONCE
