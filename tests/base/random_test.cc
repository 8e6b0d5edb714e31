#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>

namespace linnet {
namespace {

TEST(Random, IsPhilox) {
  // The known answer of Philox4x32-10 for an all-zero key and counter, from the Random123 distribution.
  Random random(0, 0);
  EXPECT_EQ(random.Bits(), 0x6627e8d5u);
  EXPECT_EQ(random.Bits(), 0xe169c58du);
  EXPECT_EQ(random.Bits(), 0xbc57ac4cu);
  EXPECT_EQ(random.Bits(), 0x9b00dbd8u);
}

TEST(Random, StreamsAndSeedsDiffer) {
  EXPECT_EQ(Random(1, 2).Bits(), Random(1, 2).Bits());
  EXPECT_NE(Random(1, 2).Bits(), Random(1, 3).Bits());
  EXPECT_NE(Random(1, 2).Bits(), Random(2, 2).Bits());
}

TEST(Random, UniformAndNormalHaveTheirMoments) {
  Random random(5);
  constexpr int kCount = 200000;
  double uniform = 0, normal = 0, squares = 0, fourth = 0;
  for (int i = 0; i < kCount; ++i) {
    const double u = random.Uniform(), z = random.Normal();
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    uniform += u / kCount;
    normal += z / kCount;
    squares += z * z / kCount;
    fourth += z * z * z * z / kCount;
  }
  EXPECT_NEAR(uniform, 0.5, 0.005);
  EXPECT_NEAR(normal, 0, 0.01);
  EXPECT_NEAR(squares, 1, 0.02);
  EXPECT_NEAR(fourth, 3, 0.15);
}

TEST(Random, BelowCoversItsRange) {
  Random random(6);
  int counts[5] = {};
  for (int i = 0; i < 5000; ++i) ++counts[random.Below(5)];
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
}

}  // namespace
}  // namespace linnet
