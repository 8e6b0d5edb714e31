// What S4D computes, held against what its paper says it computes: a convolution.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>

#include "base/random.h"
#include "ops/ops.h"

namespace linnet {
namespace {

Tensor NormalNumbers(const Shape& shape, uint64_t seed, double scale) {
  const Tensor t = Tensor::Empty(shape);
  Random random(seed);
  for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(scale * random.Normal());
  return t;
}

TEST(S4d, IsTheConvolutionWithItsKernel) {
  constexpr Dim kLength = 90, kFeatures = 5, kModes = 4, kNumbers = kModes * kFeatures;
  const Tensor re = NormalNumbers({kModes, kFeatures}, 1, 0.5),
               im = NormalNumbers({kModes, kFeatures}, 2, 10), step = NormalNumbers({kFeatures}, 3, 0.5),
               C = NormalNumbers({1, 2 * kNumbers}, 4, 1), u = NormalNumbers({kLength, kFeatures}, 5, 1);
  for (Dim h = 0; h < kFeatures; ++h) step.data()[h] -= 4;
  Sequences one;
  one.start = {0, static_cast<int>(kLength)};
  one.slot = {0};
  const Shape shape{2, kModes, kFeatures};
  const auto [a, b] = ops::Eigenvalues({re, im, step}, EigenKind::kZeroOrderHold);
  const Tensor Cb = ops::ScaleColumns(C, b.Reshape({2 * kNumbers}), NumberKind::kComplex);
  const Tensor state = Tensor::Zeros({1, 2, kModes, kFeatures});
  const Tensor y = ops::StateSpace({u, a.Reshape(shape), Cb.Reshape(shape)}, one, {state, state});
  for (Dim h = 0; h < kFeatures; ++h) {
    std::vector<double> K(kLength);  // K_l = 2 Re sum_m C b a^l, from the continuous parameters
    for (Dim m = 0; m < kModes; ++m) {
      const Dim n = m * kFeatures + h;
      const std::complex<double> A(-std::exp(re.data()[n]), im.data()[n]),
          weight(C.data()[n], C.data()[kNumbers + n]);
      const double delta = std::exp(step.data()[h]);
      for (Dim l = 0; l < kLength; ++l) {
        K[l] +=
            2 *
            (weight * (std::exp(delta * A) - 1.0) / A * std::exp(delta * A * static_cast<double>(l))).real();
      }
    }
    for (Dim t = 0; t < kLength; ++t) {
      double sum = 0;
      for (Dim l = 0; l <= t; ++l) sum += K[l] * u.data()[(t - l) * kFeatures + h];
      EXPECT_NEAR(y.data()[t * kFeatures + h], sum, 1e-5) << t;
    }
  }
}

}  // namespace
}  // namespace linnet
