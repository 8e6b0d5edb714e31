#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

TEST(Parallel, EveryItemIsDoneOnce) {
  for (int64_t n : {0, 1, 7, 1000, 100003}) {
    std::vector<std::atomic<int>> done(n);
    ParallelFor(n, 10, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++done[i];
    });
    for (const auto& d : done) ASSERT_EQ(d, 1);
  }
}

TEST(Parallel, PartsHaveTheirGrainAndAreNoMoreThanThreads) {
  EXPECT_EQ(Parts(100, 1000), 1);
  EXPECT_EQ(Parts(0, 1), 1);
  EXPECT_LE(Parts(1 << 20, 1), Threads());
}

TEST(Parallel, MoreThreadsThanCoresAreCapped) {
  const int before = Threads();
  EXPECT_EQ(SetThreads(1 << 20), PhysicalCores());
  EXPECT_EQ(SetThreads(1), 1);
  EXPECT_THROW(SetThreads(0), Error);
  SetThreads(before);
}

}  // namespace
}  // namespace linnet
