#include "models/hippo.h"

#include <gtest/gtest.h>

#include <cmath>

namespace linnet::models {
namespace {

using Number = std::complex<double>;

/// A + P P^T, from their definitions.
double Normal(int n, int k) {
  const double a = n > k ? -std::sqrt(2.0 * n + 1) * std::sqrt(2.0 * k + 1) : n == k ? -(n + 1) : 0;
  return a + std::sqrt(n + 0.5) * std::sqrt(k + 0.5);
}

TEST(NormalHippo, IsWhatItsModesMakeUp) {
  for (int size : {2, 16, 64}) {
    const HippoModes hippo = NormalHippo(size);
    const int modes = size / 2;
    ASSERT_EQ(static_cast<int>(hippo.lambda.size()), modes);
    double largest = 0;
    for (int n = 0; n < size; ++n) {
      for (int k = 0; k < size; ++k) {
        double sum = 0;  // a mode and its conjugate
        for (int m = 0; m < modes; ++m) {
          sum += 2 * (hippo.lambda[m] * hippo.V[n * modes + m] * std::conj(hippo.V[k * modes + m])).real();
        }
        largest = std::max(largest, std::abs(sum - Normal(n, k)));
      }
    }
    EXPECT_LE(largest, 1e-12 * size) << size;
    for (int m = 0; m < modes; ++m) {
      EXPECT_EQ(hippo.lambda[m].real(), -0.5);
      EXPECT_GT(hippo.lambda[m].imag(), m == 0 ? 0 : hippo.lambda[m - 1].imag());
    }
  }
}

}  // namespace
}  // namespace linnet::models
