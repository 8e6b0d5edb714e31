// Products with weight matrices (Backend::Project), for any number of rows on the left: one for decoding,
// hundreds for a prompt. This is what stands between the loops of products.cc and the kernels of a target.
//
// Every element of the result is summed in one fixed order, whatever the number of rows and threads: a row's
// result is the same to the bit alone and in any batch. A kernel holds a tile of 4 columns by up to 6 rows of
// the result in registers and runs along K, with a vector of sums for each element that is added up at the
// end.
//
// Weights are read where they lie. A type other than f32 counts as its values rounded to bf16: rows of blocks
// are turned into bf16 a few at a time, for one row on the left in registers, else in a buffer in cache.
#pragma once

#include "tensor/tensor.h"

namespace linnet {

inline constexpr int kTileColumns = 4, kTileMostRows = 6;
/// K is a multiple of this for the kernels; the driver pads.
inline constexpr int64_t kTileStep = 32;

/// One tile over a stretch of K.
template <class T>
struct ProductTile {
  const T *a, *b;                 // rows of a, and kTileColumns rows of b
  int64_t a_stride, b_stride, k;  // in elements
  int rows;                       // of a, at most kTileMostRows
  /// The tile's sums between stretches, a vector each. The first stretch begins at zero, the last ends in c.
  float* sums;
  bool first, last;
  float* c;
  int64_t c_stride;
  int columns;  // of c, at most kTileColumns
};
/// Floats of ProductTile::sums.
inline constexpr int64_t kTileSums = kTileColumns * kTileMostRows * 16;

/// On any CPU (products_simd.cc).
void MultiplyTile(const ProductTile<float>& tile);
void MultiplyTile(const ProductTile<Bf16>& tile);
/// Columns [begin, end) of c = a b, b [K, N] of f32, bf16 or f16, with a's values in float32.
void MultiplyColumns(const float* a, const Tensor& b, const Tensor& c, int64_t begin, int64_t end);

/// With AVX-512 and its bf16 instructions (products_avx512.cc); to be called only where that is the CPU.
void MultiplyTileAvx512(const ProductTile<Bf16>& tile);
/// `values` values of whole blocks of 32 (f16: 32 of them), as bf16.
void DecodeAvx512(DType type, const void* blocks, int64_t values, Bf16* to);
/// c[n] = a b[n] for one row a and `columns` rows of b.
void MultiplyRowAvx512(DType type, const void* b, int64_t row_bytes, int64_t k, const Bf16* a, float* c,
                       int64_t columns);

}  // namespace linnet
