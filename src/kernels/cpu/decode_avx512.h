// Rows of weights as vectors of 32 bf16, from every type: what products of one row multiply straight away,
// and products of many store first. blocks.h has the layouts.
//
// Codes of 4 and 5 bits are not computed with but looked up: scaled, rounded, the 16 or 32 values that a code
// can mean fill one register, and VPERMW fetches 32 of them. A reader calls use(i, w) for the i-th 32 values
// of its block.
#pragma once

#include "kernels/cpu/avx512.h"
#include "kernels/cpu/blocks.h"

#ifdef LINNET_AVX512_BF16
namespace linnet::avx512 {

/// All half-precision numbers as float32: a load that broadcasts from here costs less than a conversion, and
/// the scales of a model use a few kilobytes of it.
extern float half_values[1 << 16];

LINNET_AVX512_INLINE __m512 Broadcast(const PackedF16& x) {
  uint16_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return _mm512_set1_ps(half_values[bits]);
}

LINNET_AVX512_INLINE __m128i Load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
LINNET_AVX512_INLINE __m256i Load32(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

/// 0, 1, ... 15
LINNET_AVX512_INLINE __m512 Counting() {
  return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/// The table of scale * q + min for q = 0 ... 15, twice over: bit 4 of an index does not matter.
LINNET_AVX512_INLINE __m512i Table16(__m512 scale, __m512 min) {
  const __m512 values = _mm512_fmadd_ps(scale, Counting(), min);
  return (__m512i)_mm512_cvtne2ps_pbh(values, values);
}

/// The same for q = 0 ... 31.
LINNET_AVX512_INLINE __m512i Table32(__m512 scale, __m512 min) {
  const __m512 low = _mm512_fmadd_ps(scale, Counting(), min);
  const __m512 high = _mm512_fmadd_ps(scale, _mm512_add_ps(Counting(), _mm512_set1_ps(16)), min);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

LINNET_AVX512_INLINE __m512bh LookUp(__m512i table, __m512i index) {
  return (__m512bh)_mm512_permutexvar_epi16(index, table);
}

/// 16 bytes as 32 indices: the lower halves of all, then the upper halves, above which other bits remain.
LINNET_AVX512_INLINE __m512i Nibbles(const uint8_t* codes) {
  const __m512i upper = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
  return _mm512_srlv_epi16(_mm512_cvtepu8_epi16(_mm256_broadcastsi128_si256(Load16(codes))), upper);
}

/// Indices with bit 4 set where `high` has a bit, clear elsewhere.
LINNET_AVX512_INLINE __m512i WithFifthBit(__m512i nibbles, const uint8_t* high) {
  uint32_t bits;
  __builtin_memcpy(&bits, high, sizeof bits);
  const __m512i low = _mm512_and_si512(nibbles, _mm512_set1_epi16(15));
  return _mm512_mask_add_epi16(low, bits, low, _mm512_set1_epi16(16));
}

/// 16 signed codes, as numbers, times a scale.
LINNET_AVX512_INLINE __m512 Scaled(__m128i codes, __m512 scale) {
  return _mm512_mul_ps(scale, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(codes)));
}

template <class Block>
class Unpacker;

template <>
class Unpacker<BlockQ8_0> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ8_0& b) : b_(b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int) const {
    const __m512 d = Broadcast(b_.d);
    return _mm512_cvtne2ps_pbh(Scaled(Load16(b_.codes + 16), d), Scaled(Load16(b_.codes), d));
  }

 private:
  const BlockQ8_0& b_;
};

template <>
class Unpacker<BlockQ4_0> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ4_0& b) : b_(b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int) const {
    const __m512 values = _mm512_mul_ps(Broadcast(b_.d), _mm512_sub_ps(Counting(), _mm512_set1_ps(8)));
    return LookUp((__m512i)_mm512_cvtne2ps_pbh(values, values), Nibbles(b_.codes));
  }

 private:
  const BlockQ4_0& b_;
};

template <>
class Unpacker<BlockQ4_1> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ4_1& b) : b_(b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int) const {
    return LookUp(Table16(Broadcast(b_.d), Broadcast(b_.m)), Nibbles(b_.codes));
  }

 private:
  const BlockQ4_1& b_;
};

template <>
class Unpacker<BlockQ5_0> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ5_0& b) : b_(b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int) const {
    const __m512 d = Broadcast(b_.d);
    const __m512 low = _mm512_mul_ps(d, _mm512_sub_ps(Counting(), _mm512_set1_ps(16)));
    return LookUp((__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(d, Counting()), low),
                  WithFifthBit(Nibbles(b_.codes), b_.high));
  }

 private:
  const BlockQ5_0& b_;
};

template <>
class Unpacker<BlockQ5_1> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ5_1& b) : b_(b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int) const {
    return LookUp(Table32(Broadcast(b_.d), Broadcast(b_.m)), WithFifthBit(Nibbles(b_.codes), b_.high));
  }

 private:
  const BlockQ5_1& b_;
};

/// Scales and negative minima of the 8 groups of a q4_k or q5_k block, which begins with d, dmin and the 12
/// bytes of packed numbers: one load. In the four numbers of each quarter of the result, the low bits come
/// from GetGroupScale's first byte, shifted and masked, and the two high bits from its second.
struct GroupScales {
  alignas(64) float numbers[16];  // the scales, then the minima

  LINNET_AVX512_INLINE __m512 scale(int group) const { return _mm512_set1_ps(numbers[group]); }
  LINNET_AVX512_INLINE __m512 min(int group) const { return _mm512_set1_ps(numbers[8 + group]); }

  LINNET_AVX512_INLINE explicit GroupScales(const void* block) {
    const __m128i head = Load16(block);
    const __m128i low = _mm_and_si128(
        _mm_srlv_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(3, 2, 3, 1)), _mm_setr_epi32(0, 0, 0, 4)),
        _mm_setr_epi32(0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F));
    const __m128i high = _mm_and_si128(_mm_srli_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(2, 2, 1, 1)), 2),
                                       _mm_setr_epi32(0, 0x30303030, 0, 0x30303030));
    const __m512 unpacked = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_or_si128(low, high)));
    const __m512 d_dmin =
        _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1),
                              _mm512_castps128_ps512(_mm_cvtph_ps(head)));
    const __m512 minus =
        _mm512_setr_ps(0, 0, 0, 0, 0, 0, 0, 0, -0.f, -0.f, -0.f, -0.f, -0.f, -0.f, -0.f, -0.f);
    _mm512_store_ps(numbers, _mm512_xor_ps(minus, _mm512_mul_ps(d_dmin, unpacked)));
    // From here on they are in memory, as far as the compiler knows: loads broadcast for nothing, while the
    // shuffles that it would use instead compete with the look-ups.
    __asm__ volatile("" : : "r"(numbers) : "memory");
  }
};

template <>
class Unpacker<BlockQ4_K> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ4_K& b) : b_(b), s_(&b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int group) const {
    const __m512i codes = _mm512_cvtepu8_epi16(Load32(b_.codes + 32 * (group / 2)));
    return LookUp(Table16(s_.scale(group), s_.min(group)),
                  group % 2 == 0 ? codes : _mm512_srli_epi16(codes, 4));
  }

 private:
  const BlockQ4_K& b_;
  GroupScales s_;
};

template <>
class Unpacker<BlockQ5_K> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ5_K& b) : b_(b), s_(&b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int group) const {
    __m512i codes = _mm512_cvtepu8_epi16(Load32(b_.codes + 32 * (group / 2)));
    if (group % 2 == 1) codes = _mm512_srli_epi16(codes, 4);
    codes = _mm512_and_si512(codes, _mm512_set1_epi16(15));
    const __mmask32 set =
        _mm256_test_epi8_mask(Load32(b_.high), _mm256_set1_epi8(static_cast<char>(1 << group)));
    codes = _mm512_mask_add_epi16(codes, set, codes, _mm512_set1_epi16(16));
    return LookUp(Table32(s_.scale(group), s_.min(group)), codes);
  }

 private:
  const BlockQ5_K& b_;
  GroupScales s_;
};

template <>
class Unpacker<BlockQ6_K> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockQ6_K& b) : b_(b) {
    const __m512 scales = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(Load16(b.scales)));
    _mm512_store_ps(scales_, _mm512_mul_ps(Broadcast(b.d), scales));
    __asm__ volatile("" : : "r"(scales_) : "memory");  // as in GroupScales
  }

  /// Quarter part % 4 of half part / 4.
  LINNET_AVX512_INLINE __m512bh operator()(int part) const {
    const int quarter = part % 4;
    const __m256i low = Load32(b_.low + 64 * (part / 4) + 32 * (quarter % 2));
    const __m256i high = Load32(b_.high + 32 * (part / 4));
    const __m256i four =
        _mm256_and_si256(quarter < 2 ? low : _mm256_srli_epi16(low, 4), _mm256_set1_epi8(15));
    const __m256i two = _mm256_and_si256(quarter == 0   ? _mm256_slli_epi16(high, 4)
                                         : quarter == 1 ? _mm256_slli_epi16(high, 2)
                                         : quarter == 2 ? high
                                                        : _mm256_srli_epi16(high, 2),
                                         _mm256_set1_epi8(0x30));
    const __m256i codes = _mm256_sub_epi8(_mm256_or_si256(four, two), _mm256_set1_epi8(32));
    return _mm512_cvtne2ps_pbh(
        Scaled(_mm256_extracti128_si256(codes, 1), _mm512_set1_ps(scales_[2 * part + 1])),
        Scaled(_mm256_castsi256_si128(codes), _mm512_set1_ps(scales_[2 * part])));
  }

 private:
  const BlockQ6_K& b_;
  alignas(64) float scales_[16];
};

/// f16 and bf16 seen as blocks of 32, so that they go the same ways.
struct BlockF16 {
  uint8_t bytes[64];
};
struct BlockBf16 {
  uint8_t bytes[64];
};

template <>
class Unpacker<BlockF16> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockF16& b) : b_(b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int) const {
    return _mm512_cvtne2ps_pbh(_mm512_cvtph_ps(Load32(b_.bytes + 32)), _mm512_cvtph_ps(Load32(b_.bytes)));
  }

 private:
  const BlockF16& b_;
};

template <>
class Unpacker<BlockBf16> {
 public:
  LINNET_AVX512_INLINE explicit Unpacker(const BlockBf16& b) : b_(b) {}
  LINNET_AVX512_INLINE __m512bh operator()(int) const { return (__m512bh)_mm512_loadu_si512(b_.bytes); }

 private:
  const BlockBf16& b_;
};

}  // namespace linnet::avx512
#endif
