// Encoding of blocks (blocks.h has the layouts): choosing scales.
//
// A group of values x is written as s q + m with few-bit codes q. The first guess takes s from the range of
// x; then codes and (s, m) are fitted in turns, each the best for the other: q = round((x - m) / s), and (s,
// m) by least squares with weights w = x^2 (large weights matter more to a product) plus a floor. The best
// pass is kept. As d and dmin of a super-block are themselves rounded, codes are made once more with the
// scales that were stored.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/blocks.h"

namespace linnet {
namespace {

int Rounded(float x, int low, int high) {
  return static_cast<int>(std::lrintf(std::clamp(x, static_cast<float>(low), static_cast<float>(high))));
}

float Inverse(float x) { return x == 0 ? 0 : 1 / x; }

/// x_n ~ scale q_n + min, q_n in [low, high].
struct Fit {
  float scale = 0, min = 0;
};

struct CodeRange {
  int low, high;
};

/// The weights that errors of a group count with.
void ErrorWeights(const float* x, int n, float* w) {
  float squares = 0;
  for (int i = 0; i < n; ++i) squares += x[i] * x[i];
  const float floor = std::sqrt(squares / static_cast<float>(n));
  for (int i = 0; i < n; ++i) w[i] = floor + std::abs(x[i]);
}

double ErrorOf(const float* x, const float* w, int n, Fit fit, CodeRange range) {
  const float inverse = Inverse(fit.scale);
  double error = 0;
  for (int i = 0; i < n; ++i) {
    const float off =
        fit.scale * static_cast<float>(Rounded((x[i] - fit.min) * inverse, range.low, range.high)) + fit.min -
        x[i];
    error += static_cast<double>(w[i]) * off * off;
  }
  return error;
}

/// The best scale (and min, where `affine`) for the codes that `fit` gives.
Fit LeastSquares(const float* x, const float* w, int n, Fit fit, CodeRange range, bool affine) {
  const float inverse = Inverse(fit.scale);
  double sw = 0, sq = 0, sqq = 0, sx = 0, sqx = 0;
  for (int i = 0; i < n; ++i) {
    const double q = Rounded((x[i] - fit.min) * inverse, range.low, range.high), wi = w[i];
    sw += wi, sq += wi * q, sqq += wi * q * q, sx += wi * x[i], sqx += wi * q * x[i];
  }
  if (!affine) return {sqq > 0 ? static_cast<float>(sqx / sqq) : fit.scale, 0};
  const double determinant = sw * sqq - sq * sq;
  if (determinant <= 0) return fit;
  return {static_cast<float>((sw * sqx - sq * sx) / determinant),
          static_cast<float>((sqq * sx - sq * sqx) / determinant)};
}

/// Tries first guesses whose scale is a little above and below that of the range, improves each, keeps the
/// best.
Fit BestFit(const float* x, int n, Fit first, CodeRange range, bool affine, bool min_at_most_zero = false) {
  std::array<float, kBlock> w;
  ErrorWeights(x, n, w.data());
  Fit best = first;
  double least = ErrorOf(x, w.data(), n, first, range);
  for (int step = -4; step <= 4; ++step) {
    Fit fit{first.scale * (1 + 0.03f * static_cast<float>(step)), first.min};
    for (int pass = 0; pass < 2; ++pass) {
      fit = LeastSquares(x, w.data(), n, fit, range, affine);
      if (min_at_most_zero && fit.min > 0) fit = LeastSquares(x, w.data(), n, {fit.scale, 0}, range, false);
      const double error = ErrorOf(x, w.data(), n, fit, range);
      if (error < least) least = error, best = fit;
    }
  }
  return best;
}

/// Codes in [low, high] around zero: the value furthest from zero gets the code furthest from zero, `low`.
Fit SymmetricFit(const float* x, int n, CodeRange range) {
  const float* furthest =
      std::max_element(x, x + n, [](float a, float b) { return std::abs(a) < std::abs(b); });
  return BestFit(x, n, {*furthest / static_cast<float>(range.low), 0}, range, false);
}

/// Codes from 0 to `high` above a minimum; for super-blocks, which subtract a positive one, it is at most 0.
Fit AffineFit(const float* x, int n, int high, bool min_at_most_zero) {
  const auto [least, most] = std::minmax_element(x, x + n);
  const float min = min_at_most_zero ? std::min(*least, 0.0f) : *least;
  return BestFit(x, n, {(*most - min) / static_cast<float>(high), min}, {0, high}, true, min_at_most_zero);
}

/// Writes codes of 4 or 5 bits: value i and i + 16 share a byte.
void PutCodes(const int* q, uint8_t* codes, uint8_t* high) {
  for (int i = 0; i < 16; ++i) codes[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
  for (int i = 0; high != nullptr && i < kBlock; ++i) {
    if (i % 8 == 0) high[i / 8] = 0;
    high[i / 8] |= static_cast<uint8_t>((q[i] >> 4) << (i % 8));
  }
}

void Encode(const float* x, BlockQ8_0& b) {
  float largest = 0;
  for (int i = 0; i < kBlock; ++i) largest = std::max(largest, std::abs(x[i]));
  const float inverse = Inverse(b.d.Set(largest / 127));
  for (int i = 0; i < kBlock; ++i) b.codes[i] = static_cast<int8_t>(Rounded(x[i] * inverse, -127, 127));
}

template <class B>
void EncodeSymmetric(const float* x, int half, B& b, uint8_t* high) {
  const CodeRange range{-half, half - 1};
  const float inverse = Inverse(b.d.Set(SymmetricFit(x, kBlock, range).scale));
  int q[kBlock];
  for (int i = 0; i < kBlock; ++i) q[i] = Rounded(x[i] * inverse, range.low, range.high) + half;
  PutCodes(q, b.codes, high);
}
void Encode(const float* x, BlockQ4_0& b) { EncodeSymmetric(x, 8, b, nullptr); }
void Encode(const float* x, BlockQ5_0& b) { EncodeSymmetric(x, 16, b, b.high); }

template <class B>
void EncodeAffine(const float* x, int most, B& b, uint8_t* high) {
  const Fit fit = AffineFit(x, kBlock, most, false);
  const float inverse = Inverse(b.d.Set(fit.scale)), min = b.m.Set(fit.min);
  int q[kBlock];
  for (int i = 0; i < kBlock; ++i) q[i] = Rounded((x[i] - min) * inverse, 0, most);
  PutCodes(q, b.codes, high);
}
void Encode(const float* x, BlockQ4_1& b) { EncodeAffine(x, 15, b, nullptr); }
void Encode(const float* x, BlockQ5_1& b) { EncodeAffine(x, 31, b, b.high); }

/// q4_k and q5_k: scales and minima of the 8 groups, and the codes q[256] that go with them as stored.
template <class B>
void FitGroups(const float* x, int most, B& b, int* q) {
  std::array<Fit, 8> fits;
  float largest_scale = 0, largest_min = 0;
  for (int g = 0; g < 8; ++g) {
    fits[g] = AffineFit(x + 32 * g, 32, most, true);
    if (fits[g].scale < 0) fits[g] = {0, std::min(fits[g].min, 0.0f)};
    largest_scale = std::max(largest_scale, fits[g].scale);
    largest_min = std::max(largest_min, -fits[g].min);
  }
  const float d = b.d.Set(largest_scale / 63), dmin = b.dmin.Set(largest_min / 63);
  std::memset(b.scales, 0, sizeof b.scales);
  for (int g = 0; g < 8; ++g) {
    const GroupScale s{static_cast<uint8_t>(Rounded(fits[g].scale * Inverse(d), 0, 63)),
                       static_cast<uint8_t>(Rounded(-fits[g].min * Inverse(dmin), 0, 63))};
    SetGroupScale(b.scales, g, s);
    const float inverse = Inverse(d * s.scale), min = dmin * s.min;
    for (int i = 32 * g; i < 32 * g + 32; ++i) q[i] = Rounded((x[i] + min) * inverse, 0, most);
  }
}

/// Low four bits of two groups share 32 bytes.
void PutGroupCodes(const int* q, uint8_t* codes) {
  for (int pair = 0; pair < 4; ++pair) {
    for (int i = 0; i < 32; ++i) {
      codes[32 * pair + i] =
          static_cast<uint8_t>((q[64 * pair + i] & 15) | (q[64 * pair + 32 + i] & 15) << 4);
    }
  }
}

void Encode(const float* x, BlockQ4_K& b) {
  int q[kSuperBlock];
  FitGroups(x, 15, b, q);
  PutGroupCodes(q, b.codes);
}

void Encode(const float* x, BlockQ5_K& b) {
  int q[kSuperBlock];
  FitGroups(x, 31, b, q);
  PutGroupCodes(q, b.codes);
  std::memset(b.high, 0, sizeof b.high);
  for (int i = 0; i < kSuperBlock; ++i) b.high[i % 32] |= static_cast<uint8_t>((q[i] >> 4) << (i / 32));
}

void Encode(const float* x, BlockQ6_K& b) {
  std::array<float, 16> scales;
  float furthest = 0;
  for (int g = 0; g < 16; ++g) {
    scales[g] = SymmetricFit(x + 16 * g, 16, {-32, 31}).scale;
    if (std::abs(scales[g]) > std::abs(furthest)) furthest = scales[g];
  }
  const float d = b.d.Set(furthest / -128);
  std::memset(b.low, 0, sizeof b.low);
  std::memset(b.high, 0, sizeof b.high);
  for (int g = 0; g < 16; ++g) {
    b.scales[g] = static_cast<int8_t>(Rounded(scales[g] * Inverse(d), -128, 127));
    const float inverse = Inverse(d * b.scales[g]);
    for (int i = 16 * g; i < 16 * g + 16; ++i) {
      const int code = Rounded(x[i] * inverse, -32, 31) + 32, half = i / 128, at = i % 128;
      b.low[64 * half + at % 64] |= static_cast<uint8_t>((code & 15) << (at / 64 * 4));
      b.high[32 * half + at % 32] |= static_cast<uint8_t>((code >> 4) << (at / 32 * 2));
    }
  }
}

template <class B>
void EncodeAll(const float* values, int64_t count, void* blocks) {
  constexpr int64_t kValues = sizeof(B) > 64 ? kSuperBlock : kBlock;
  for (int64_t i = 0; i < count; ++i) Encode(values + i * kValues, static_cast<B*>(blocks)[i]);
}

}  // namespace

void EncodeBlocks(DType type, const float* values, int64_t count, void* blocks) {
  switch (type) {
    case DType::kQ8_0:
      return EncodeAll<BlockQ8_0>(values, count, blocks);
    case DType::kQ4_0:
      return EncodeAll<BlockQ4_0>(values, count, blocks);
    case DType::kQ4_1:
      return EncodeAll<BlockQ4_1>(values, count, blocks);
    case DType::kQ5_0:
      return EncodeAll<BlockQ5_0>(values, count, blocks);
    case DType::kQ5_1:
      return EncodeAll<BlockQ5_1>(values, count, blocks);
    case DType::kQ4_K:
      return EncodeAll<BlockQ4_K>(values, count, blocks);
    case DType::kQ5_K:
      return EncodeAll<BlockQ5_K>(values, count, blocks);
    case DType::kQ6_K:
      return EncodeAll<BlockQ6_K>(values, count, blocks);
    default:
      Fail("[convert] {} has no blocks", Traits(type).name);
  }
}

}  // namespace linnet
