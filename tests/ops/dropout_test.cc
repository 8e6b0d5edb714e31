#include "ops/dropout.h"

#include <algorithm>
#include <numeric>

#include "ops/op_case.h"

namespace linnet {
namespace {

using ops::Dropout;
using ops::DropoutMask;
using ops::DropoutScope;

Tensor Ones(const Shape& shape) {
  const Tensor ones = Tensor::Empty(shape);
  std::fill_n(ones.data(), ones.size(), 1.0f);
  return ones;
}

/// What each element is multiplied with.
Values Factors(const DropoutMask& mask, const Shape& shape, int site = 0) {
  const DropoutScope scope(mask);
  return ToValues(Dropout(Ones(shape), site));
}

/// Dropout is linear in x, with the factors above: the harness's numeric gradient is that of the product.
TEST(Dropout, MultipliesValueAndGradientWithTheSameMask) {
  for (const auto& [n, c] : {std::pair<Dim, Dim>{1, 4}, {3, 10}, {17, 33}, {600, 96}}) {
    for (const DropoutMask& mask : {DropoutMask{0.25f, 7, 3}, DropoutMask{0.9f, ~0ull, 1ull << 40, 12}}) {
      const Values factors = Factors(mask, {n, c}, 5);
      Check(OpCase{"p " + std::to_string(mask.probability),
                   {RandomTensor({n, c}, 1)},
                   [=](const auto& t) {
                     // The scope must not be needed any more when the gradient is computed.
                     const DropoutScope scope(mask);
                     return std::vector{Dropout(t[0], 5)};
                   },
                   [=](const auto& v) {
                     Values y = v[0];
                     for (size_t i = 0; i < y.size(); ++i) y[i] *= factors[i];
                     return Outputs{y};
                   }});
    }
  }
}

TEST(Dropout, DropsThePartItIsToldAndKeepsTheMean) {
  for (float p : {0.05f, 0.3f, 0.9f}) {
    const Values y = Factors({p, 1}, {2000, 50});
    const auto zeros = static_cast<double>(std::count(y.begin(), y.end(), 0.0));
    EXPECT_NEAR(zeros / 1e5, p, 0.01);  // six deviations
    for (double v : y) EXPECT_TRUE(v == 0 || std::abs(v * (1 - p) - 1) < 1e-6);
    EXPECT_NEAR(std::accumulate(y.begin(), y.end(), 0.0) / 1e5, 1, 0.01 / (1 - p));
  }
}

TEST(Dropout, MasksFollowSeedStepSiteAndRow) {
  const DropoutMask mask{0.5f, 1, 2, 3};
  const Values whole = Factors(mask, {9, 50});
  EXPECT_EQ(whole, Factors(mask, {9, 50}));
  DropoutMask seed = mask, step = mask, later = mask;
  ++seed.seed, ++step.step, later.first_row = 7;
  for (const DropoutMask& other : {seed, step, later}) EXPECT_NE(whole, Factors(other, {9, 50}));
  EXPECT_NE(whole, Factors(mask, {9, 50}, 1));
  // Cut in two, the rows have the masks that they had together.
  Values cut = Factors(mask, {4, 50});
  const Values rest = Factors(later, {5, 50});
  cut.insert(cut.end(), rest.begin(), rest.end());
  EXPECT_EQ(whole, cut);
}

TEST(Dropout, OutOfScopeOrWithoutProbabilityIsNothing) {
  const Tensor x = Ones({2, 3});
  EXPECT_EQ(Dropout(x, 0).raw(), x.raw());
  const DropoutScope outer({0.5f});
  {
    const DropoutScope none({0});
    EXPECT_EQ(Dropout(x, 0).raw(), x.raw());
  }
  EXPECT_NE(Dropout(x, 0).raw(), x.raw()) << "the outer scope is back";
  EXPECT_THROW(DropoutScope({1}), Error);
  EXPECT_THROW(DropoutScope({-0.1f}), Error);
}

}  // namespace
}  // namespace linnet
