// Conversions between element types: plain copies where the types agree, else by way of float32.
#include <array>

#include "base/parallel.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void Bf16ToF32(const Bf16* x, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(io.Load(x + i), y + i); });
}
void F32ToBf16(const float* x, Bf16* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(io.Load(x + i), y + i); });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(Bf16ToF32);
HWY_EXPORT(F32ToBf16);

namespace {

/// Values that are converted at a time, whole blocks of every type.
constexpr int64_t kPiece = 8 * kSuperBlock;

/// The element `at`, which begins a block.
template <class T = std::byte>
T* At(const Tensor& x, int64_t at) {
  const DTypeTraits& traits = Traits(x.dtype());
  return reinterpret_cast<T*>(static_cast<std::byte*>(x.raw()) +
                              at / traits.values_per_block * traits.bytes_per_block);
}

/// n values of x from `begin` on, as float32.
void Read(const Tensor& x, int64_t begin, int64_t n, float* y) {
  switch (x.dtype()) {
    case DType::kF32:
      std::memcpy(y, At(x, begin), n * sizeof(float));
      return;
    case DType::kBf16:
      HWY_DYNAMIC_DISPATCH(Bf16ToF32)(At<Bf16>(x, begin), y, n);
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) y[i] = ToFloat(At<F16>(x, begin)[i]);
      return;
    case DType::kF64:
      for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(At<double>(x, begin)[i]);
      return;
    default:
      DecodeBlocks(x.dtype(), At(x, begin), n / Traits(x.dtype()).values_per_block, y);
  }
}

/// Stores n float32 values as y's from `begin` on.
void Write(const float* x, int64_t begin, int64_t n, const Tensor& y) {
  switch (y.dtype()) {
    case DType::kF32:
      std::memcpy(At(y, begin), x, n * sizeof(float));
      return;
    case DType::kBf16:
      HWY_DYNAMIC_DISPATCH(F32ToBf16)(x, At<Bf16>(y, begin), n);
      return;
    case DType::kF16:
      for (int64_t i = 0; i < n; ++i) At<F16>(y, begin)[i] = ToF16(x[i]);
      return;
    default:
      EncodeBlocks(y.dtype(), x, n / Traits(y.dtype()).values_per_block, At(y, begin));
  }
}

/// Blocks do not reach over the end of a row.
void CheckConvertible(const Tensor& x) {
  Check(IsReal(x.dtype()), "[convert] {} are no real numbers", Traits(x.dtype()).name);
  Check(!IsQuantized(x.dtype()) ||
            (x.shape().rank() > 0 && x.dim(-1) % Traits(x.dtype()).values_per_block == 0),
        "[convert] rows of {} are no whole blocks of {}", x.shape(), Traits(x.dtype()).name);
}

void ConvertRange(const Tensor& x, const Tensor& y, int64_t begin, int64_t end) {
  alignas(64) std::array<float, kPiece> piece;
  for (int64_t at = begin; at < end; at += kPiece) {
    const int64_t n = std::min(kPiece, end - at);
    if (x.dtype() == DType::kF32) {
      Write(At<float>(x, at), at, n, y);
    } else if (y.dtype() == DType::kF32) {
      Read(x, at, n, At<float>(y, at));
    } else {
      Read(x, at, n, piece.data());
      Write(piece.data(), at, n, y);
    }
  }
}

}  // namespace

void CpuBackend::Convert(const Tensor& x, const Tensor& y) {
  if (x.dtype() == y.dtype()) {
    std::memcpy(y.raw(), x.raw(), x.bytes());
    return;
  }
  CheckConvertible(x);
  CheckConvertible(y);
  Check(y.dtype() != DType::kF64, "[convert] nothing is converted to f64");
  const int64_t n = x.size(), pieces = (n + kPiece - 1) / kPiece;
  ParallelFor(pieces, kGrainElements / kPiece, [&](int64_t begin, int64_t end) {
    ConvertRange(x, y, begin * kPiece, std::min(n, end * kPiece));
  });
}

void CpuBackend::Gather(const Tensor& x, std::span<const int> rows, const Tensor& y) {
  const int64_t width = y.dim(1);
  ParallelFor(y.dim(0), GrainRows(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) Read(x, rows[i] * width, width, y.data() + i * width);
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
