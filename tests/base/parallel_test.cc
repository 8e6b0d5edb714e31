#include "base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>
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

/// The sum of 0 .. n-1, over parts that each have their own place, which the threads write and the caller
/// reads.
int64_t ParallelSum(int64_t n) {
  std::vector<int64_t> sums(Parts(n, 1));
  ParallelParts(n, static_cast<int>(sums.size()), [&](int part, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[part] += i;
  });
  return std::accumulate(sums.begin(), sums.end(), int64_t{0});
}

TEST(Parallel, WhatThreadsWriteIsThereAfterwards) {
  for (int64_t n = 0; n < 100; ++n) ASSERT_EQ(ParallelSum(n), n * (n - 1) / 2);
}

TEST(Parallel, WhatIsReadNextChangesNothing) {
  const std::vector<std::byte> memory(1 << 20);
  // More pieces than are kept, empty ones, and memory that is nobody's.
  std::vector<Ahead> ahead(20, {memory.data(), 1 << 20});
  ahead[0] = {};
  ahead[1] = {reinterpret_cast<const std::byte*>(8), 1 << 20};
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::vector<std::atomic<int>> done(64);
    ParallelParts(
        64, 16,
        [&](int, int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++done[i];
        },
        std::span(ahead).first(repeat % 21));
    for (const auto& d : done) ASSERT_EQ(d, 1);
  }
}

TEST(Parallel, WorkInsideOfWorkIsDone) {
  std::vector<int64_t> sums(64);
  ParallelFor(64, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) sums[i] = ParallelSum(i);
  });
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(sums[i], i * (i - 1) / 2);
}

TEST(Parallel, SeveralCallersAtOnceDoNotMeet) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int64_t n = 0; n < 100; ++n) wrong += ParallelSum(n) != n * (n - 1) / 2;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Parallel, ThreadsComeAndGoBetweenLoops) {
  const int before = Threads();
  for (int threads : {1, before, 1, before}) {
    SetThreads(threads);
    EXPECT_EQ(ParallelSum(1000), 499500) << threads << " threads";
  }
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
