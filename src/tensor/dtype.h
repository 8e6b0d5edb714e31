// Element types: one enum, one table row each.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace linnet {

enum class DType : uint8_t { kF32, kBf16, kF16, kF64, kI32, kI64, kU8 };

struct DTypeTraits {
  std::string_view name;
  int64_t values_per_block;  // 1 but for quantised types, whose values share a scale
  int64_t bytes_per_block;
};

inline constexpr DTypeTraits kDTypes[] = {
    {"f32", 1, 4}, {"bf16", 1, 2}, {"f16", 1, 2}, {"f64", 1, 8}, {"i32", 1, 4}, {"i64", 1, 8}, {"u8", 1, 1},
};

constexpr const DTypeTraits& Traits(DType type) { return kDTypes[static_cast<size_t>(type)]; }

/// bfloat16: the upper half of a float32. Storage only; arithmetic is done in float32.
struct Bf16 {
  uint16_t bits = 0;
};

inline float ToFloat(Bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }

/// Rounds to the nearest bfloat16, ties to even; a NaN stays a (quiet) NaN.
inline Bf16 ToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

/// IEEE half precision. Storage only.
struct F16 {
  uint16_t bits = 0;
};

inline float ToFloat(F16 x) {
  const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16, exponent = (x.bits >> 10) & 0x1F,
                 mantissa = x.bits & 0x3FF;
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000 | (mantissa << 13));
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace linnet
