#include "formats/relayout.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace linnet {
namespace {

/// RWKV-6 mixes for w, k, v, r, g in this order; flash-linear-attention has them as r, w, k, v, g.
constexpr int kMixes = 5;
constexpr std::array<Dim, kMixes> kPlaceInFla = {1, 2, 3, 0, 4};

Shape Trimmed(const Shape& shape) {
  int rank = shape.rank();
  while (rank > 1 && shape[rank - 1] == 1) --rank;
  Shape trimmed;
  for (int i = 0; i < rank; ++i) trimmed.Append(shape[i]);
  return trimmed;
}

Shape Transposed(const Shape& shape) {
  Shape transposed;
  for (int i = 0; i < shape.rank() - 2; ++i) transposed.Append(shape[i]);
  transposed.Append(shape[-1]);
  transposed.Append(shape[-2]);
  return transposed;
}

/// The first extent that is not 1, or 1.
Dim FirstExtent(const Shape& shape) {
  const Dim* first = std::find_if(shape.begin(), shape.end(), [](Dim dim) { return dim != 1; });
  return first == shape.end() ? 1 : *first;
}

size_t ElementBytes(const Tensor& tensor) {
  return static_cast<size_t>(Traits(tensor.dtype()).bytes_per_block);
}

/// The five parts along the first extent, in the other order and transposed.
Tensor MixDown(const Tensor& x, const Shape& shape) {
  const Dim rank = x.dim(0) / kMixes, width = x.dim(1);
  const Tensor y = Tensor::Empty(shape, x.dtype());
  const size_t bytes = ElementBytes(x);
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(y.raw());
  for (Dim c = 0; c < width; ++c) {
    for (Dim place : kPlaceInFla) {
      for (Dim i = 0; i < rank; ++i, to += bytes) {
        std::memcpy(to, from + static_cast<size_t>((place * rank + i) * width + c) * bytes, bytes);
      }
    }
  }
  return y;
}

Tensor MixUp(const Tensor& x, const Shape& shape) {
  const Dim width = x.dim(0), rank = x.dim(1) / kMixes;
  const Tensor y = Tensor::Empty(shape, x.dtype());
  const size_t bytes = ElementBytes(x);
  const auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(y.raw());
  for (Dim place : kPlaceInFla) {
    for (Dim i = 0; i < rank; ++i) {
      for (Dim c = 0; c < width; ++c, to += bytes) {
        std::memcpy(to, from + static_cast<size_t>(c * kMixes * rank + place * rank + i) * bytes, bytes);
      }
    }
  }
  return y;
}

/// Bounds that no trained decay comes near: where the file's own rounding has made its value 0 or 1, the log
/// is infinite, and these give back the same value.
float Bounded(double x) { return static_cast<float>(std::clamp(x, -80.0, 6.0)); }

float Undone(Relayout how, double x) {
  if (how == Relayout::kLog) return static_cast<float>(std::log(x));
  return Bounded(std::log(how == Relayout::kLogOfNegative ? -x : -std::log(x)));
}

Tensor Logs(Relayout how, const Tensor& x, const Shape& shape) {
  const Tensor y = Tensor::Empty(shape);
  std::transform(x.data(), x.data() + x.size(), y.data(), [how](float value) { return Undone(how, value); });
  return y;
}

/// x 2^exponent, exactly; a result beyond the type's range becomes infinite.
uint16_t TimesPowerOfTwo(uint16_t half, int64_t exponent) {
  const uint32_t sign = half & 0x8000u;
  uint32_t power = (half >> 10) & 0x1Fu, mantissa = half & 0x3FFu;
  if (power == 0x1F || (half & 0x7FFFu) == 0) return half;
  for (; exponent > 0 && power == 0; --exponent) {  // subnormal: shift until it is normal
    mantissa <<= 1;
    power = mantissa >> 10;
    mantissa &= 0x3FF;
  }
  const int64_t scaled = power + exponent;
  if (scaled >= 0x1F) return static_cast<uint16_t>(sign | 0x7C00u);
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(scaled) << 10 | mantissa);
}

/// Where in a block of each type the half-precision scales lie.
struct Scales {
  DType type;
  int count;
  size_t at;
};
constexpr Scales kScales[] = {{DType::kF16, 1, 0},  {DType::kQ8_0, 1, 0}, {DType::kQ4_0, 1, 0},
                              {DType::kQ4_1, 2, 0}, {DType::kQ5_0, 1, 0}, {DType::kQ5_1, 2, 0},
                              {DType::kQ4_K, 2, 0}, {DType::kQ5_K, 2, 0}, {DType::kQ6_K, 1, 208}};

void ScaleHalves(const Tensor& y, const Scales& scales, int64_t exponent) {
  auto* bytes = static_cast<std::byte*>(y.raw());
  const size_t block = ElementBytes(y);
  for (size_t at = 0; at < y.bytes(); at += block) {
    for (int i = 0; i < scales.count; ++i) {
      std::byte* place = bytes + at + scales.at + static_cast<size_t>(i) * sizeof(uint16_t);
      uint16_t half;
      std::memcpy(&half, place, sizeof half);
      half = TimesPowerOfTwo(half, exponent);
      std::memcpy(place, &half, sizeof half);
    }
  }
}

Tensor Scaled(const Tensor& x, int64_t exponent) {
  if (exponent == 0) return x;
  const Tensor y = x.Clone();
  const auto power = static_cast<float>(std::ldexp(1.0, static_cast<int>(exponent)));
  for (const Scales& scales : kScales) {
    if (scales.type == x.dtype()) ScaleHalves(y, scales, exponent);
  }
  if (x.dtype() == DType::kF32) {
    for (Dim i = 0; i < y.size(); ++i) y.data()[i] *= power;
  } else if (x.dtype() == DType::kBf16) {
    for (Dim i = 0; i < y.size(); ++i) y.data<Bf16>()[i] = ToBf16(ToFloat(y.data<Bf16>()[i]) * power);
  }
  return y;
}

void CheckFits(const RelayoutStep& step, const Checkpoint::Entry& entry, const std::string& named) {
  const bool moves_blocks = step.how != Relayout::kSame && step.how != Relayout::kTransposed &&
                            step.how != Relayout::kTimesPowerOfTwo;
  Check(!moves_blocks || !IsQuantized(entry.dtype), "{} is {}, which cannot be taken apart; it is a vector",
        named, Traits(entry.dtype).name);
  const bool is_log = step.how == Relayout::kLog || step.how == Relayout::kLogOfNegative ||
                      step.how == Relayout::kLogOfNegativeLog;
  Check(!is_log || entry.dtype == DType::kF32, "{} must be f32 but is {}", named, Traits(entry.dtype).name);
  const bool scalable = IsReal(entry.dtype) && entry.dtype != DType::kF64;
  Check(step.how != Relayout::kTimesPowerOfTwo || scalable, "{} is {}; a matrix of a model was expected",
        named, Traits(entry.dtype).name);
}

}  // namespace

Checkpoint::Entry EntryAfter(const RelayoutStep& step, const Checkpoint::Entry& entry,
                             const std::string& named) {
  CheckFits(step, entry, named);
  Checkpoint::Entry after = entry;
  const Shape& shape = entry.shape;
  switch (step.how) {
    case Relayout::kSame:
    case Relayout::kTimesPowerOfTwo:
      break;
    case Relayout::kTransposed:
      Check(shape.rank() >= 2, "{} must be a matrix but is {}", named, shape);
      after.transposed = IsQuantized(entry.dtype);
      Check(!after.transposed || shape.rank() == 2, "{} must have two extents but is {}", named, shape);
      after.shape = Transposed(shape);
      break;
    case Relayout::kPart:
      Check(FirstExtent(shape) == step.count, "{} must hold {} vectors but is {}", named, step.count, shape);
      after.shape = {1, 1, shape.size() / step.count};
      break;
    case Relayout::kHeads:
      Check(shape.size() % step.count == 0, "{} is {}, no whole number of heads of {}", named, shape,
            step.count);
      after.shape = {shape.size() / step.count, step.count};
      break;
    case Relayout::kVector:
      after.shape = {1, 1, shape.size()};
      break;
    case Relayout::kTrimmed:
    case Relayout::kLog:
    case Relayout::kLogOfNegative:
    case Relayout::kLogOfNegativeLog:
      after.shape = Trimmed(shape);
      break;
    case Relayout::kMixDown:
      Check(shape.rank() == 2 && shape[0] % kMixes == 0, "{} must be [5 r, C] but is {}", named, shape);
      after.shape = {shape[1], shape[0]};
      break;
    case Relayout::kMixUp:
      Check(shape.rank() == 2 && shape[1] % kMixes == 0, "{} must be [C, 5 r] but is {}", named, shape);
      after.shape = {kMixes, shape[1] / kMixes, shape[0]};
      break;
  }
  return after;
}

Tensor TensorAfter(const RelayoutStep& step, const Tensor& tensor, const Checkpoint::Entry& after) {
  switch (step.how) {
    case Relayout::kTransposed:
      return after.transposed ? tensor : Turned(tensor);
    case Relayout::kPart: {
      const auto part = static_cast<size_t>(after.shape.size()) * ElementBytes(tensor);
      const auto* begin =
          static_cast<const std::byte*>(tensor.raw()) + part * static_cast<size_t>(step.index);
      return Tensor::Wrap(std::make_shared<Tensor>(tensor), begin, after.shape, after.dtype);
    }
    case Relayout::kLog:
    case Relayout::kLogOfNegative:
    case Relayout::kLogOfNegativeLog:
      return Logs(step.how, tensor, after.shape);
    case Relayout::kTimesPowerOfTwo:
      return Scaled(tensor, step.index);
    case Relayout::kMixDown:
      return MixDown(tensor, after.shape);
    case Relayout::kMixUp:
      return MixUp(tensor, after.shape);
    default:
      return tensor.Reshape(after.shape);
  }
}

Tensor Turned(const Tensor& x) {
  const Dim rows = x.dim(-2), columns = x.dim(-1), matrices = x.size() / std::max<Dim>(rows * columns, 1);
  const Tensor y = Tensor::Empty({matrices, columns, rows}, x.dtype());
  CopyStrided(static_cast<const std::byte*>(x.raw()), {rows * columns, 1, columns, 0}, y);
  return y.Reshape(Transposed(x.shape()));
}

void CopyStrided(const std::byte* from, const std::array<int64_t, 4>& strides, const Tensor& to) {
  const size_t bytes = ElementBytes(to);
  std::array<Dim, 4> n = {1, 1, 1, 1};
  std::copy(to.shape().begin(), to.shape().end(), n.begin());
  auto* out = static_cast<std::byte*>(to.raw());
  for (Dim a = 0; a < n[0]; ++a) {
    for (Dim b = 0; b < n[1]; ++b) {
      for (Dim c = 0; c < n[2]; ++c) {
        for (Dim d = 0; d < n[3]; ++d, out += bytes) {
          const auto at =
              static_cast<size_t>(a * strides[0] + b * strides[1] + c * strides[2] + d * strides[3]);
          std::memcpy(out, from + at * bytes, bytes);
        }
      }
    }
  }
}

}  // namespace linnet
