// The block types of ggml as they lie in files: neighbours in a row of a matrix share scales.
// Source of the layouts: ggml's ggml-common.h and ggml-quants.c (facts only).
//
// Simple blocks, 32 values x_i with codes q_i and half-precision d, m:
//   q8_0   x = d q, q int8
//   q4_0   x = d (q - 8)         q4_1   x = d q + m         q 4 bits
//   q5_0   x = d (q - 16)        q5_1   x = d q + m         q 5 bits, the fifth in `high`, bit i for x_i
//   The low 4 bits of x_i and x_{i+16} share byte i of `codes`: the lower half is x_i's.
// Super-blocks, 256 values in 8 (q4_k, q5_k) or 16 (q6_k) groups, each with a scale of its own:
//   q4_k, q5_k   x = d s_g q - dmin m_g; s and m are 6 bits, packed in 12 bytes (GroupScale)
//   q6_k         x = d s_g (q - 32), s int8
//   In q4_k and q5_k, 32 bytes of `codes` hold two groups of 32: the lower halves are the first group's, the
//   upper the second's; bit j of high[i] is the fifth bit of x_i in group j. In q6_k each half of 128 values
//   has 64 bytes of low bits and 32 of high ones: x_i, x_{i+32}, x_{i+64}, x_{i+96} find theirs in low[i] &
//   15, low[i+32] & 15, low[i] >> 4, low[i+32] >> 4 and in bits 0-1, 2-3, 4-5, 6-7 of high[i].
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace linnet {

inline constexpr int kBlock = 32, kSuperBlock = 256;

/// A half-precision number at any address: blocks have odd sizes, and files put them anywhere.
struct PackedF16 {
  uint8_t low, high;
  float value() const { return ToFloat(F16{static_cast<uint16_t>(low | high << 8)}); }
  /// Stores x, rounded, and returns what was stored.
  float Set(float x) {
    const uint16_t bits = ToF16(x).bits;
    low = static_cast<uint8_t>(bits);
    high = static_cast<uint8_t>(bits >> 8);
    return value();
  }
};

struct BlockQ8_0 {
  PackedF16 d;
  int8_t codes[32];
};
struct BlockQ4_0 {
  PackedF16 d;
  uint8_t codes[16];
};
struct BlockQ4_1 {
  PackedF16 d, m;
  uint8_t codes[16];
};
struct BlockQ5_0 {
  PackedF16 d;
  uint8_t high[4], codes[16];
};
struct BlockQ5_1 {
  PackedF16 d, m;
  uint8_t high[4], codes[16];
};
struct BlockQ4_K {
  PackedF16 d, dmin;
  uint8_t scales[12], codes[128];
};
struct BlockQ5_K {
  PackedF16 d, dmin;
  uint8_t scales[12], high[32], codes[128];
};
struct BlockQ6_K {
  uint8_t low[128], high[64];
  int8_t scales[16];
  PackedF16 d;
};

template <class B>
constexpr bool FitsItsRow(DType type) {
  return sizeof(B) == Traits(type).bytes_per_block && alignof(B) == 1;
}
static_assert(FitsItsRow<BlockQ8_0>(DType::kQ8_0) && FitsItsRow<BlockQ4_0>(DType::kQ4_0) &&
              FitsItsRow<BlockQ4_1>(DType::kQ4_1) && FitsItsRow<BlockQ5_0>(DType::kQ5_0) &&
              FitsItsRow<BlockQ5_1>(DType::kQ5_1) && FitsItsRow<BlockQ4_K>(DType::kQ4_K) &&
              FitsItsRow<BlockQ5_K>(DType::kQ5_K) && FitsItsRow<BlockQ6_K>(DType::kQ6_K));

/// Scale and minimum of a group, 6 bits each: groups 0 to 3 have whole bytes (0 to 3 and 4 to 7), whose two
/// upper bits serve groups 4 to 7, which have their lower four bits in bytes 8 to 11.
struct GroupScale {
  uint8_t scale, min;
};
inline GroupScale GetGroupScale(const uint8_t* packed, int group) {
  if (group < 4) {
    return {static_cast<uint8_t>(packed[group] & 63), static_cast<uint8_t>(packed[group + 4] & 63)};
  }
  const uint8_t low = packed[group + 4];
  return {static_cast<uint8_t>((low & 15) | (packed[group - 4] >> 6) << 4),
          static_cast<uint8_t>((low >> 4) | (packed[group] >> 6) << 4)};
}
/// Groups are set in ascending order, on bytes that were zero.
inline void SetGroupScale(uint8_t* packed, int group, GroupScale value) {
  if (group < 4) {
    packed[group] = value.scale;
    packed[group + 4] = value.min;
    return;
  }
  packed[group + 4] = static_cast<uint8_t>((value.scale & 15) | (value.min & 15) << 4);
  packed[group - 4] |= static_cast<uint8_t>((value.scale >> 4) << 6);
  packed[group] |= static_cast<uint8_t>((value.min >> 4) << 6);
}

/// The values of `count` whole blocks of a type, as float32.
void DecodeBlocks(DType type, const void* blocks, int64_t count, float* values);
/// The nearest that `count` blocks of a type can say (quantize.cc tells how the scales are chosen).
void EncodeBlocks(DType type, const float* values, int64_t count, void* blocks);

}  // namespace linnet
