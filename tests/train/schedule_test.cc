#include "train/schedule.h"

#include <gtest/gtest.h>

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
