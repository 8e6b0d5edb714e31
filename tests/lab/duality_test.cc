#include "lab/duality.h"

#include <gtest/gtest.h>

#include <cmath>

namespace linnet::lab {
namespace {

TEST(Duality, BothFormsAreTheSame) {
  for (double w : {-6.0, -1.0, 0.5, 3.0}) {
    const DualityChannel channel = RandomChannel(w, 0.3, 40, 2);
    for (const DualityStep& step : BothForms(channel)) {
      EXPECT_NEAR(step.recurrent, step.convolved, 1e-12);
      EXPECT_NEAR(step.parallel, step.recurrent, 1e-5);
      EXPECT_NEAR(step.stepwise, step.recurrent, 1e-5);
    }
  }
}

TEST(Duality, ByHand) {
  const DualityChannel channel{
      .w = std::log(std::log(2.0)), .u = std::log(3.0), .k = {0, 0, 0}, .v = {1, 2, 4}};
  EXPECT_NEAR(channel.decay(), 0.5, 1e-15);
  const std::vector<double> kernel = Kernel(channel, 4);
  const double wanted[] = {3, 1, 0.5, 0.25};
  for (int i = 0; i < 4; ++i) EXPECT_NEAR(kernel[i], wanted[i], 1e-15);
  const std::vector<DualityStep> steps = BothForms(channel);
  EXPECT_NEAR(steps[0].recurrent, 1, 1e-12);
  EXPECT_NEAR(steps[1].recurrent, (3 * 2 + 1) / 4.0, 1e-12);
  EXPECT_NEAR(steps[2].recurrent, (3 * 4 + 2 + 0.5) / 4.5, 1e-12);
  EXPECT_NEAR(steps[2].a, 2.5, 1e-12);
  EXPECT_NEAR(steps[2].b, 1.5, 1e-12);
}

}  // namespace
}  // namespace linnet::lab
