#include "train/schedule.h"

#include <gtest/gtest.h>

#include "train/refusal.h"

namespace linnet {
namespace {

constexpr Schedule kSchedule{.lr = 6e-4, .lr_final = 6e-5, .warmup = 10};

TEST(Schedule, WarmupBeginsAtAHundredthAndRisesLinearly) {
  EXPECT_DOUBLE_EQ(LearningRate(kSchedule, 0, 0), 6e-6);
  EXPECT_DOUBLE_EQ(LearningRate(kSchedule, 5, 0), 6e-4 * (0.01 + 0.99 * 0.5));
  EXPECT_DOUBLE_EQ(LearningRate(kSchedule, 10, 0), 6e-4);
}

TEST(Schedule, WarmupMayBeginHigher) {
  Schedule rwkv4 = kSchedule;
  rwkv4.warmup_start = 0.2;
  EXPECT_DOUBLE_EQ(LearningRate(rwkv4, 0, 0), 6e-4 * 0.2);
  EXPECT_DOUBLE_EQ(LearningRate(rwkv4, 5, 0), 6e-4 * 0.6);
  EXPECT_DOUBLE_EQ(LearningRate(rwkv4, 10, 0), 6e-4);
}

TEST(Schedule, CosineEndsAtTheFinalRate) {
  EXPECT_DOUBLE_EQ(LearningRate(kSchedule, 50, 0.5), (6e-4 + 6e-5) / 2);
  EXPECT_NEAR(LearningRate(kSchedule, 100, 1), 6e-5, 1e-18);
}

TEST(Schedule, EqualRatesAndNoWarmupAreConstant) {
  const Schedule constant{.lr = 1e-3, .lr_final = 1e-3, .warmup = 0};
  for (double progress : {0.0, 0.3, 1.0}) EXPECT_EQ(LearningRate(constant, 0, progress), 1e-3);
}

TEST(Schedule, WarmupStableDecay) {
  Schedule wsd = kSchedule;
  wsd.shape = ScheduleShape::kWsd;
  wsd.decay_fraction = 0.25;
  wsd.decay_shape = DecayShape::kLinear;
  EXPECT_DOUBLE_EQ(LearningRate(wsd, 5, 0), 6e-4 * (0.01 + 0.99 * 0.5)) << "the warmup is that of all shapes";
  for (double progress : {0.0, 0.5, 0.75}) EXPECT_EQ(LearningRate(wsd, 50, progress), 6e-4);
  EXPECT_DOUBLE_EQ(LearningRate(wsd, 90, 0.875), (6e-4 + 6e-5) / 2);
  EXPECT_NEAR(LearningRate(wsd, 100, 1), 6e-5, 1e-18);
  wsd.decay_shape = DecayShape::kSqrt;
  EXPECT_DOUBLE_EQ(LearningRate(wsd, 80, 0.75 + 0.25 / 4), (6e-4 + 6e-5) / 2) << "1 - sqrt(1/4)";
  EXPECT_NEAR(LearningRate(wsd, 100, 1), 6e-5, 1e-18);
  wsd.decay_fraction = 1;
  EXPECT_EQ(LearningRate(wsd, 20, 0), 6e-4) << "all of it decay, from its beginning";
}

TEST(Schedule, ConstantIsTheWarmupAlone) {
  Schedule constant = kSchedule;
  constant.shape = ScheduleShape::kConstant;
  EXPECT_DOUBLE_EQ(LearningRate(constant, 0, 0), 6e-6);
  for (double progress : {0.0, 0.5, 1.0}) EXPECT_EQ(LearningRate(constant, 50, progress), 6e-4);
}

TEST(Schedule, ShapesHaveNames) {
  EXPECT_EQ(ParseScheduleShape("cosine"), ScheduleShape::kCosine);
  EXPECT_EQ(ParseScheduleShape("wsd"), ScheduleShape::kWsd);
  EXPECT_EQ(ParseScheduleShape("constant"), ScheduleShape::kConstant);
  EXPECT_EQ(ParseDecayShape("linear"), DecayShape::kLinear);
  EXPECT_EQ(ParseDecayShape("sqrt"), DecayShape::kSqrt);
  EXPECT_TRUE(Refused([] { ParseScheduleShape("steps"); }, {"--schedule", "wsd", "'steps'"}));
  EXPECT_TRUE(Refused([] { ParseDecayShape("cubic"); }, {"--decay-shape", "sqrt", "'cubic'"}));
}

TEST(Schedule, ProgressCountsTokensAfterTheWarmup) {
  EXPECT_EQ(TokenProgress(kSchedule, 4, 256, 20 * 256), 0);
  EXPECT_EQ(TokenProgress(kSchedule, 10, 256, 20 * 256), 0);
  EXPECT_DOUBLE_EQ(TokenProgress(kSchedule, 15, 256, 20 * 256), 0.5);
  EXPECT_EQ(TokenProgress(kSchedule, 30, 256, 20 * 256), 1);
}

TEST(Schedule, ARunMayEndDuringItsWarmup) {
  EXPECT_EQ(TokenProgress(kSchedule, 3, 256, 5 * 256), 0);
  EXPECT_EQ(TokenProgress(kSchedule, 10, 256, 10 * 256), 0);
}

}  // namespace
}  // namespace linnet
