#include "train/recovery.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "train/refusal.h"

namespace linnet {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Counts `steps` good ones from `first`, with losses around `loss`.
void GoOn(Recovery& recovery, int64_t first, int steps, double loss = 2, double noise = 0.05) {
  Random random(static_cast<uint64_t>(first));
  for (int i = 0; i < steps; ++i) {
    recovery.Count(first + i, loss + noise * random.Normal(), std::exp(0.3 * random.Normal()), false);
  }
}

TEST(RunningMoments, AreThoseOfTheNumbersAndForgetSlowly) {
  RunningMoments moments;
  for (double x : {1.0, 2.0, 6.0}) moments.Add(x);
  EXPECT_NEAR(moments.mean, 3, 1e-12);
  EXPECT_NEAR(moments.variance, 14.0 / 3, 1e-12);
  for (int i = 0; i < 2000; ++i) moments.Add(i % 2 == 0 ? 9 : 11);
  EXPECT_NEAR(moments.mean, 10, 0.05);
  EXPECT_NEAR(moments.variance, 1, 0.02);
}

TEST(Recovery, NothingIsASpikeBeforeThereIsSomethingToCompare) {
  Recovery recovery(10);
  GoOn(recovery, 0, 49);
  EXPECT_EQ(recovery.limits().loss, kInfinity);
  EXPECT_EQ(recovery.limits().gradient_norm, kInfinity);
  GoOn(recovery, 49, 1);
  EXPECT_LT(recovery.limits().loss, 4);
}

TEST(Recovery, LimitsAreDeviationsAboveTheMean) {
  Recovery recovery(10);
  GoOn(recovery, 0, 500);
  const StepLimits limits = recovery.limits();
  EXPECT_NEAR(limits.loss, 2 + 10 * 0.05, 0.2);
  EXPECT_NEAR(std::log(limits.gradient_norm), 10 * 0.3, 1);
  // Of a run without any noise: a fifth above the loss, e^2 above the norm.
  Recovery even(10);
  for (int i = 0; i < 60; ++i) even.Count(i, 2, 1, false);
  EXPECT_NEAR(even.limits().loss, 2.4, 1e-9);
  EXPECT_NEAR(even.limits().gradient_norm, std::exp(2), 1e-6);
}

TEST(Recovery, ZeroDeviationsAreNoLimit) {
  Recovery recovery(0);
  GoOn(recovery, 0, 100);
  EXPECT_EQ(recovery.limits().loss, kInfinity);
  EXPECT_EQ(recovery.limits().gradient_norm, kInfinity);
}

TEST(Recovery, AFallingLossIsNoSpikeAndNeitherIsNoise) {
  Recovery recovery(10);
  Random random(5);
  for (int64_t step = 0; step < 3000; ++step) {
    const double loss = 1 + 4 * std::exp(-static_cast<double>(step) / 300) + 0.1 * random.Normal();
    const double norm = std::exp(0.5 * random.Normal());
    const StepLimits limits = recovery.limits();
    EXPECT_LT(loss, limits.loss) << step;
    EXPECT_LT(norm, limits.gradient_norm) << step;
    recovery.Count(step, loss, norm, false);
  }
}

TEST(Recovery, DataThatStayHardAreSoonNoSpikesAnyMore) {
  Recovery recovery(10);
  GoOn(recovery, 0, 200);
  int skipped = 0;
  for (int64_t step = 200; step < 220; ++step) {
    const bool bad = 3.0 > recovery.limits().loss;  // twenty deviations above the mean
    skipped += bad;
    recovery.Count(step, 3, 1, bad);
    EXPECT_FALSE(recovery.must_return());
  }
  EXPECT_GE(skipped, 1);
  EXPECT_LT(skipped, Recovery::kMostBad);
}

TEST(Recovery, ReturnsAfterSeveralBadStepsInARow) {
  Recovery recovery(10);
  GoOn(recovery, 0, 100);
  for (int64_t step = 100; step < 104; ++step) recovery.Count(step, NAN, NAN, true);
  EXPECT_FALSE(recovery.must_return());
  EXPECT_FALSE(recovery.good());
  recovery.Count(104, 2, 1, false);
  EXPECT_TRUE(recovery.good()) << "a good step between them";
  for (int64_t step = 105; step < 110; ++step) recovery.Count(step, NAN, NAN, true);
  EXPECT_TRUE(recovery.must_return());
  EXPECT_TRUE(std::isfinite(recovery.limits().loss)) << "what is no number does not count";
}

TEST(Recovery, AReturnedRunDrawsOtherDataAndCountsItsReturns) {
  Recovery checkpoint(10);
  GoOn(checkpoint, 0, 100);
  EXPECT_EQ(checkpoint.DrawnAs(100), 100);
  Recovery before = checkpoint;
  for (int64_t step = 100; step < 105; ++step) before.Count(step, NAN, NAN, true);
  Recovery after = checkpoint;
  after.ReturnFrom(before);
  EXPECT_TRUE(after.good());
  EXPECT_NE(after.DrawnAs(100), 100);
  EXPECT_EQ(after.returns_in_a_row(), 1);
  // The same trouble again counts on, also once it was saved and read.
  Recovery read(10);
  read.Restore(after.ToJson(), "file");
  for (int64_t step = 100; step < 105; ++step) read.Count(step, NAN, NAN, true);
  Recovery again = checkpoint;
  again.ReturnFrom(read);
  EXPECT_EQ(again.returns_in_a_row(), 2);
  EXPECT_NE(again.DrawnAs(100), after.DrawnAs(100));
  // Once it is well past, the count begins anew; the data stay others.
  GoOn(again, 100, 100);
  EXPECT_EQ(again.returns_in_a_row(), 0);
  EXPECT_EQ(again.returns(), 2);
}

TEST(Recovery, SavedAndReadIsTheSameToTheBit) {
  Recovery recovery(10), read(10);
  GoOn(recovery, 0, 77);
  recovery.Count(77, 50, 3, true);
  read.Restore(recovery.ToJson(), "file");
  EXPECT_EQ(read.ToJson(), recovery.ToJson());
  GoOn(recovery, 78, 20);
  GoOn(read, 78, 20);
  EXPECT_EQ(read.limits().loss, recovery.limits().loss);
  EXPECT_EQ(read.limits().gradient_norm, recovery.limits().gradient_norm);
  for (const char* text : {"", "{}", "[1]", "{\"loss\": 3}"}) {
    EXPECT_TRUE(Refused([&] { read.Restore(text, "the file"); }, {"the file"})) << text;
  }
}

TEST(Recovery, SaysWhatWasBad) {
  EXPECT_EQ(WhatWasBad(NAN, 1, {}, 10), "the loss is not a finite number");
  EXPECT_EQ(WhatWasBad(1, kInfinity, {}, 10), "the gradient is not a finite number");
  EXPECT_EQ(WhatWasBad(9.125, 1, {2.5, 4}, 10), "the loss 9.125 is above 2.5 (--spike 10)");
  EXPECT_EQ(WhatWasBad(2, 5, {2.5, 4}, 10), "the gradient norm 5 is above 4 (--spike 10)");
}

}  // namespace
}  // namespace linnet
