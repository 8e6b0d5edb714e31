// Element types: one enum, one table row each.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace linnet {

/// Behind the plain types the block types of ggml, as GGUF and rwkv.cpp files hold them: neighbours in a row
/// share scales (kernels/cpu/blocks.h has the layouts). A tensor of such a type is a matrix whose rows are
/// whole blocks.
enum class DType : uint8_t {
  kF32,
  kBf16,
  kF16,
  kF64,
  kI32,
  kI64,
  kU8,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ4_K,
  kQ5_K,
  kQ6_K
};

struct DTypeTraits {
  std::string_view name;
  int64_t values_per_block;  // 1 but for quantised types, whose values share a scale
  int64_t bytes_per_block;
};

inline constexpr DTypeTraits kDTypes[] = {
    {"f32", 1, 4},    {"bf16", 1, 2},   {"f16", 1, 2},      {"f64", 1, 8},      {"i32", 1, 4},
    {"i64", 1, 8},    {"u8", 1, 1},     {"q8_0", 32, 34},   {"q4_0", 32, 18},   {"q4_1", 32, 20},
    {"q5_0", 32, 22}, {"q5_1", 32, 24}, {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210},
};

constexpr const DTypeTraits& Traits(DType type) { return kDTypes[static_cast<size_t>(type)]; }

/// Whether values share scales.
constexpr bool IsQuantized(DType type) { return Traits(type).values_per_block > 1; }
/// Whether it holds real numbers, in whatever form.
constexpr bool IsReal(DType type) { return type != DType::kI32 && type != DType::kI64 && type != DType::kU8; }

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

/// IEEE half precision. Storage only; arithmetic is done in float32.
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

/// Rounds to the nearest half, ties to even; beyond 65504 becomes an infinity, a NaN stays a (quiet) NaN.
inline F16 ToF16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), sign = (bits >> 16) & 0x8000u,
                 magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return {static_cast<uint16_t>(sign | 0x7E00)};
  if (magnitude >= 0x477FF000) return {static_cast<uint16_t>(sign | 0x7C00)};  // rounds to 65536 or is beyond
  if (magnitude < 0x38800000) {  // subnormal: adding 0.5 leaves the multiple of 2^-24 in the last bits
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000))};
  }
  const uint32_t rounded = magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1);
  return {static_cast<uint16_t>(sign | (rounded >> 13))};
}

}  // namespace linnet
