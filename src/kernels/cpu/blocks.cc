// Decoding of blocks, one value at a time: what every faster path is held against. blocks.h has the layouts.
// Scale and minimum are applied with one rounding, as the faster paths do.
#include "kernels/cpu/blocks.h"

#include <cmath>

#include "base/check.h"

namespace linnet {
namespace {

void Decode(const BlockQ8_0& b, float* x) {
  const float d = b.d.value();
  for (int i = 0; i < kBlock; ++i) x[i] = d * b.codes[i];
}

void Decode(const BlockQ4_0& b, float* x) {
  const float d = b.d.value();
  for (int i = 0; i < 16; ++i) {
    x[i] = d * ((b.codes[i] & 15) - 8);
    x[i + 16] = d * ((b.codes[i] >> 4) - 8);
  }
}

void Decode(const BlockQ4_1& b, float* x) {
  const float d = b.d.value(), m = b.m.value();
  for (int i = 0; i < 16; ++i) {
    x[i] = std::fma(d, static_cast<float>(b.codes[i] & 15), m);
    x[i + 16] = std::fma(d, static_cast<float>(b.codes[i] >> 4), m);
  }
}

/// The fifth bit of value i, at its place.
int FifthBit(const uint8_t* high, int i) { return ((high[i / 8] >> (i % 8)) & 1) << 4; }

void Decode(const BlockQ5_0& b, float* x) {
  const float d = b.d.value();
  for (int i = 0; i < 16; ++i) {
    x[i] = d * (((b.codes[i] & 15) | FifthBit(b.high, i)) - 16);
    x[i + 16] = d * (((b.codes[i] >> 4) | FifthBit(b.high, i + 16)) - 16);
  }
}

void Decode(const BlockQ5_1& b, float* x) {
  const float d = b.d.value(), m = b.m.value();
  for (int i = 0; i < 16; ++i) {
    x[i] = std::fma(d, static_cast<float>((b.codes[i] & 15) | FifthBit(b.high, i)), m);
    x[i + 16] = std::fma(d, static_cast<float>((b.codes[i] >> 4) | FifthBit(b.high, i + 16)), m);
  }
}

/// q4_k and q5_k: `fifth(group, i)` is the fifth bit of value i of a group, at its place.
template <class Fifth>
void DecodeGroups(PackedF16 d, PackedF16 dmin, const uint8_t* scales, const uint8_t* codes,
                  const Fifth& fifth, float* x) {
  for (int group = 0; group < 8; ++group) {
    const GroupScale s = GetGroupScale(scales, group);
    const float scale = d.value() * s.scale, min = dmin.value() * s.min;
    const uint8_t* bytes = codes + group / 2 * 32;
    for (int i = 0; i < 32; ++i) {
      const int code = (group % 2 == 0 ? bytes[i] & 15 : bytes[i] >> 4) + fifth(group, i);
      x[group * 32 + i] = std::fma(scale, static_cast<float>(code), -min);
    }
  }
}

void Decode(const BlockQ4_K& b, float* x) {
  DecodeGroups(
      b.d, b.dmin, b.scales, b.codes, [](int, int) { return 0; }, x);
}

void Decode(const BlockQ5_K& b, float* x) {
  DecodeGroups(
      b.d, b.dmin, b.scales, b.codes, [&](int group, int i) { return ((b.high[i] >> group) & 1) << 4; }, x);
}

void Decode(const BlockQ6_K& b, float* x) {
  const float d = b.d.value();
  for (int half = 0; half < 2; ++half) {
    const uint8_t *low = b.low + 64 * half, *high = b.high + 32 * half;
    for (int i = 0; i < 128; ++i) {
      const int bits = (i < 64 ? low[i] & 15 : low[i - 64] >> 4) | ((high[i % 32] >> (i / 32 * 2)) & 3) << 4;
      x[128 * half + i] = d * b.scales[8 * half + i / 16] * (bits - 32);
    }
  }
}

template <class B>
void DecodeAll(const void* blocks, int64_t count, float* values) {
  constexpr int64_t kValues = sizeof(B) > 64 ? kSuperBlock : kBlock;
  for (int64_t i = 0; i < count; ++i) Decode(static_cast<const B*>(blocks)[i], values + i * kValues);
}

}  // namespace

void DecodeBlocks(DType type, const void* blocks, int64_t count, float* values) {
  switch (type) {
    case DType::kQ8_0:
      return DecodeAll<BlockQ8_0>(blocks, count, values);
    case DType::kQ4_0:
      return DecodeAll<BlockQ4_0>(blocks, count, values);
    case DType::kQ4_1:
      return DecodeAll<BlockQ4_1>(blocks, count, values);
    case DType::kQ5_0:
      return DecodeAll<BlockQ5_0>(blocks, count, values);
    case DType::kQ5_1:
      return DecodeAll<BlockQ5_1>(blocks, count, values);
    case DType::kQ4_K:
      return DecodeAll<BlockQ4_K>(blocks, count, values);
    case DType::kQ5_K:
      return DecodeAll<BlockQ5_K>(blocks, count, values);
    case DType::kQ6_K:
      return DecodeAll<BlockQ6_K>(blocks, count, values);
    default:
      Fail("[convert] {} has no blocks", Traits(type).name);
  }
}

}  // namespace linnet
