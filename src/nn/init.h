// Initial values of parameters.
#pragma once

#include <functional>

#include "base/random.h"
#include "tensor/tensor.h"

namespace linnet {

/// Fills a float32 tensor. The generator is the parameter's own: values do not depend on what else a model
/// holds.
using Init = std::function<void(const Tensor& values, Random& random)>;

namespace init {

Init Constant(float value);
Init Zero();
/// Uniform in (-bound, bound).
Init Uniform(float bound);
/// Of mean 0 and this standard deviation.
Init Normal(float deviation);
/// value(n) for each element n in order.
Init Element(std::function<double(Dim n)> value);
/// Rows (or columns, whichever are fewer) orthonormal, uniformly distributed, times `gain`. Rank 2.
Init Orthogonal(float gain);

}  // namespace init
}  // namespace linnet
