#include "base/permutation.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

TEST(Permutation, EveryNumberStandsOnce) {
  for (int64_t n : {1, 2, 3, 4, 5, 16, 17, 100, 1023, 1025, 5000}) {
    const Permutation order(n, 7);
    std::vector<int> seen(n);
    for (int64_t i = 0; i < n; ++i) ++seen.at(order(i));
    EXPECT_EQ(seen, std::vector<int>(n, 1)) << n;
  }
}

TEST(Permutation, LooksDrawnAtRandom) {
  // Where number 0 of 10 stands, over many seeds: 1,000 times at each place, with a deviation of 30.
  std::vector<int> places(10), neighbours(10);
  for (uint64_t seed = 0; seed < 10000; ++seed) {
    const Permutation order(10, seed);
    for (int64_t i = 0; i < 10; ++i) {
      if (order(i) == 0) ++places[i];
    }
    ++neighbours[(order(4) - order(3) + 10) % 10];
  }
  for (int count : places) EXPECT_NEAR(count, 1000, 150);
  EXPECT_EQ(neighbours[0], 0);
  for (int distance = 1; distance < 10; ++distance) EXPECT_NEAR(neighbours[distance], 1111, 170);
}

TEST(Permutation, IsTheSameOnEveryMachine) {
  const Permutation order(1'000'000'007, 42), again(1'000'000'007, 42), other(1'000'000'007, 43);
  EXPECT_EQ(order(0), again(0));
  EXPECT_NE(order(0), other(0));
  EXPECT_EQ(order(123456789), 682996320);
}

TEST(Permutation, PlacesBeyondTheEndAreRefused) {
  EXPECT_THROW(Permutation(0, 1), Error);
  EXPECT_THROW(Permutation(5, 1)(5), Error);
  EXPECT_THROW(Permutation(5, 1)(-1), Error);
}

}  // namespace
}  // namespace linnet
