// What the ops share in their backward steps. Not for other layers.
#pragma once

#include "kernels/backend.h"
#include "ops/tape.h"

namespace linnet::ops::internal {

inline Backend& BackendOf(const Tensor& x) { return Backend::For(x.device()); }

/// Where the gradient of `x` goes; null if nobody asks for it.
inline GradientPtr GradientOf(const Tensor& x) { return x.tracked() ? x.gradient() : nullptr; }

/// The gradient of `x` so far, for kernels that add to it; a throw-away one where nobody asks for it.
inline Tensor AccumulatorFor(const Tensor& x) {
  const Tensor sum = Accumulator(GradientOf(x), x.shape());
  return sum ? sum : Tensor::Zeros(x.shape());
}

/// The gradient that arrived at an output, or zeros if none did.
inline Tensor Arrived(const GradientPtr& gradient, const Shape& shape) {
  return gradient->value ? gradient->value : Tensor::Zeros(shape);
}

/// x in the type that it is multiplied in with this weight: float32 with float32, bf16 with any other.
inline Tensor ForProductWith(const Tensor& weight, const Tensor& x) {
  const DType type = weight.dtype() == DType::kF32 ? DType::kF32 : DType::kBf16;
  if (x.dtype() == type) return x;
  const Tensor converted = Tensor::Empty(x.shape(), type);
  BackendOf(x).Convert(x, converted);
  return converted;
}

}  // namespace linnet::ops::internal
