// Products of bf16 on CPUs that have instructions for them. products.h says what is computed.
#include <algorithm>
#include <utility>

#include "base/check.h"
#if defined(__GNUC__) && !defined(__clang__)
// False alarms in GCC's own intrinsics, GCC bug 105593.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include "kernels/cpu/decode_avx512.h"
#include "kernels/cpu/products.h"

#ifdef LINNET_AVX512_BF16
namespace linnet {
namespace avx512 {

float half_values[1 << 16];

namespace {

/// Fills the table before main.
[[maybe_unused]] const bool kFilled = [] {
  for (uint32_t bits = 0; bits < 1 << 16; ++bits)
    half_values[bits] = ToFloat(F16{static_cast<uint16_t>(bits)});
  return true;
}();

/// How far ahead of its use a weight is asked for: memory answers after some hundred nanoseconds.
constexpr int64_t kPrefetchBytes = 12288;

/// The sums over the lanes of four vectors, in one order for all.
LINNET_AVX512_INLINE __m128 SumsOfLanes(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab =
      _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));  // a b a b in each quarter
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512 abcd = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
  return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

LINNET_AVX512_INLINE void Store(__m128 sums, float* c, int columns) {
  _mm_mask_storeu_ps(c, static_cast<__mmask8>((1 << columns) - 1), sums);
}

template <int kRows>
LINNET_AVX512 void Tile(const ProductTile<Bf16>& t) {
  __m512 sums[kRows][kTileColumns];
#pragma GCC unroll 24
  for (int i = 0; i < kRows * kTileColumns; ++i) {
    sums[i / kTileColumns][i % kTileColumns] =
        t.first ? _mm512_setzero_ps() : _mm512_load_ps(t.sums + 16 * i);
  }
  for (int64_t k = 0; k < t.k; k += 32) {
    __m512bh b[kTileColumns];
#pragma GCC unroll 4
    for (int n = 0; n < kTileColumns; ++n) b[n] = (__m512bh)_mm512_loadu_si512(t.b + n * t.b_stride + k);
#pragma GCC unroll 6
    for (int m = 0; m < kRows; ++m) {
      const __m512bh a = (__m512bh)_mm512_loadu_si512(t.a + m * t.a_stride + k);
#pragma GCC unroll 4
      for (int n = 0; n < kTileColumns; ++n) sums[m][n] = _mm512_dpbf16_ps(sums[m][n], a, b[n]);
    }
  }
#pragma GCC unroll 6
  for (int m = 0; m < kRows; ++m) {
    if (t.last) {
      Store(SumsOfLanes(sums[m][0], sums[m][1], sums[m][2], sums[m][3]), t.c + m * t.c_stride, t.columns);
    } else {
      for (int n = 0; n < kTileColumns; ++n) {
        _mm512_store_ps(t.sums + 16 * (m * kTileColumns + n), sums[m][n]);
      }
    }
  }
}

template <class Block>
inline constexpr int kValues = sizeof(Block) > 64 ? kSuperBlock : kBlock;

template <class Block>
LINNET_AVX512 void Decode(const void* blocks, int64_t values, Bf16* to) {
  const auto* block = static_cast<const Block*>(blocks);
  for (int64_t at = 0; at < values; at += kValues<Block>, ++block) {
    const Unpacker<Block> unpacker(*block);
#pragma GCC unroll 8
    for (int i = 0; i < kValues<Block> / 32; ++i) _mm512_storeu_si512(to + at + 32 * i, (__m512i)unpacker(i));
  }
}

/// One row a times the rows n... of b. They advance together, as the additions of one row wait for each
/// other.
template <class Block, size_t... n>
LINNET_AVX512_INLINE void Together(const std::byte* b, int64_t row_bytes, int64_t k, const Bf16* a,
                                   __m512* sums, std::index_sequence<n...>) {
  // Rows follow each other, so later ones are asked for in the order of memory.
  constexpr int kStepBytes = sizeof...(n) * static_cast<int>(sizeof(Block));
  const int64_t tile_bytes = sizeof...(n) * row_bytes;
  const std::byte* ahead = b + (kPrefetchBytes / tile_bytes + 1) * tile_bytes;
  for (int64_t at = 0; at < k; at += kValues<Block>, b += sizeof(Block), ahead += kStepBytes) {
#pragma GCC unroll 16
    for (int line = 0; line < kStepBytes; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T0);
    const Unpacker<Block> unpackers[] = {
        Unpacker<Block>(*reinterpret_cast<const Block*>(b + n * row_bytes))...};
#pragma GCC unroll 8
    for (int i = 0; i < kValues<Block> / 32; ++i) {
      const __m512bh x = (__m512bh)_mm512_loadu_si512(a + at + 32 * i);
      ((sums[n] = _mm512_dpbf16_ps(sums[n], x, unpackers[n](i))), ...);
    }
  }
}

/// The rows one after the other: one stream of memory, which the CPU foresees by itself.
template <class Block>
LINNET_AVX512_INLINE void InTurn(const std::byte* b, int64_t row_bytes, int64_t k, const Bf16* a,
                                 __m512* sums, int rows) {
#pragma GCC unroll 4
  for (int n = 0; n < rows; ++n) {
    const auto* blocks = reinterpret_cast<const Block*>(b + n * row_bytes);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t at = 0; at < k; at += 32, ++blocks) {
      sum = _mm512_dpbf16_ps(sum, (__m512bh)_mm512_loadu_si512(a + at), Unpacker<Block>(*blocks)(0));
    }
    sums[n] = sum;
  }
}

/// Rows up to this long are read in turn if they are 16 bits a value: their additions keep up with memory.
constexpr int64_t kMostInTurn = 4096;

template <class Block, int kRows>
LINNET_AVX512_INLINE void RowTile(const std::byte* b, int64_t row_bytes, int64_t k, const Bf16* a, float* c) {
  __m512 sums[kTileColumns] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                               _mm512_setzero_ps()};
  if (sizeof(Block) == 64 && k <= kMostInTurn) {
    InTurn<Block>(b, row_bytes, k, a, sums, kRows);
  } else {
    Together<Block>(b, row_bytes, k, a, sums, std::make_index_sequence<kRows>());
  }
  Store(SumsOfLanes(sums[0], sums[1], sums[2], sums[3]), c, kRows);
}

template <class Block>
LINNET_AVX512 void Row(const void* b, int64_t row_bytes, int64_t k, const Bf16* a, float* c,
                       int64_t columns) {
  const auto* bytes = static_cast<const std::byte*>(b);
  // Nobody has asked for the first rows.
  const int64_t first = std::min(kPrefetchBytes, columns * row_bytes);
  for (int64_t at = 0; at < first; at += 64) _mm_prefetch(bytes + at, _MM_HINT_T0);
  int64_t n = 0;
  for (; n + kTileColumns <= columns; n += kTileColumns) {
    RowTile<Block, kTileColumns>(bytes + n * row_bytes, row_bytes, k, a, c + n);
  }
  for (; n < columns; ++n) RowTile<Block, 1>(bytes + n * row_bytes, row_bytes, k, a, c + n);
}

/// The functions for one type.
struct Reader {
  void (*decode)(const void* blocks, int64_t values, Bf16* to);
  void (*row)(const void* b, int64_t row_bytes, int64_t k, const Bf16* a, float* c, int64_t columns);
};
template <class Block>
constexpr Reader ReaderOf() {
  return {Decode<Block>, Row<Block>};
}

Reader For(DType type) {
  switch (type) {
    case DType::kBf16:
      return ReaderOf<BlockBf16>();
    case DType::kF16:
      return ReaderOf<BlockF16>();
    case DType::kQ8_0:
      return ReaderOf<BlockQ8_0>();
    case DType::kQ4_0:
      return ReaderOf<BlockQ4_0>();
    case DType::kQ4_1:
      return ReaderOf<BlockQ4_1>();
    case DType::kQ5_0:
      return ReaderOf<BlockQ5_0>();
    case DType::kQ5_1:
      return ReaderOf<BlockQ5_1>();
    case DType::kQ4_K:
      return ReaderOf<BlockQ4_K>();
    case DType::kQ5_K:
      return ReaderOf<BlockQ5_K>();
    case DType::kQ6_K:
      return ReaderOf<BlockQ6_K>();
    default:
      Fail("[linear] a weight cannot be {}", Traits(type).name);
  }
}

}  // namespace
}  // namespace avx512

void MultiplyTileAvx512(const ProductTile<Bf16>& tile) {
  constexpr void (*kTiles[])(const ProductTile<Bf16>&) = {avx512::Tile<1>, avx512::Tile<2>, avx512::Tile<3>,
                                                          avx512::Tile<4>, avx512::Tile<5>, avx512::Tile<6>};
  kTiles[tile.rows - 1](tile);
}

void DecodeAvx512(DType type, const void* blocks, int64_t values, Bf16* to) {
  avx512::For(type).decode(blocks, values, to);
}

void MultiplyRowAvx512(DType type, const void* b, int64_t row_bytes, int64_t k, const Bf16* a, float* c,
                       int64_t columns) {
  avx512::For(type).row(b, row_bytes, k, a, c, columns);
}

}  // namespace linnet
#endif
