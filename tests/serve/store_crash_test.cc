// A process that is killed in the middle of writing leaves every state whole: the old one or the new, and
// never less than what it was told is written.
#include <gtest/gtest.h>

#include <random>

#include "serve/processes.h"
#include "serve/stored_states.h"

namespace linnet {
namespace {

constexpr int kKills = 100, kIds = 8;
constexpr Dim kWidth = 160;  // 400 KB a state: most kills come while one is on its way

std::string IdOf(int number) { return "s" + std::to_string(number % kIds); }

/// Puts one state after the other until it is killed; tells of each that is put.
[[noreturn]] void PutForever(const std::string& place, int number, int told) {
  try {
    const auto store = OpenStateStore(place, kModel);
    for (;; ++number) {
      store->Put(StateOf(number, "c", IdOf(number)), SnapshotOf(number, kWidth));
      if (write(told, &number, sizeof number) != sizeof number) break;
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
  }
  _exit(1);
}

/// Runs PutForever for a while; returns the last state that it said was put, or `before`.
int PutUntilKilled(const std::string& place, int before, std::chrono::microseconds time) {
  int ends[2];
  Check(pipe(ends) == 0, "no pipe");
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    PutForever(place, before + 1, ends[1]);
  }
  close(ends[1]);
  std::this_thread::sleep_for(time);
  EXPECT_EQ(kill(child, SIGKILL), 0);
  int status = 0, last = before, number = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
  while (read(ends[0], &number, sizeof number) == sizeof number) last = number;
  close(ends[0]);
  return last;
}

/// All states are whole; those up to `last` are there, and at most one came after it.
void CheckAll(StateStore& store, int last) {
  for (const StoredState& stored : store.List("c", 2 * kIds)) {
    const auto number = static_cast<int>(stored.tokens);
    EXPECT_TRUE(Same(stored, StateOf(number, "c", IdOf(number))));
    const auto snapshot = store.Load("c", stored.id);
    ASSERT_TRUE(snapshot);
    EXPECT_TRUE(Same(*snapshot, SnapshotOf(number, kWidth)));
    EXPECT_LE(number, last + 1);
  }
  for (int number = std::max(0, last + 2 - kIds); number <= last; ++number) {
    const auto found = store.Find("c", IdOf(number));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->tokens, number);
  }
}

void KillAndCheck(const std::string& place) {
  std::mt19937 random(std::random_device{}());
  int last = -1;
  for (int i = 0; i < kKills && !testing::Test::HasFailure(); ++i) {
    const std::chrono::microseconds time(std::uniform_int_distribution(2'000, 60'000)(random));
    last = PutUntilKilled(place, last, time);
    CheckAll(*OpenStateStore(place, kModel), last);
  }
  EXPECT_GT(last, kKills / 4);
  fmt::print("{} states were put\n", last + 1);
}

TEST(StoreCrashTest, Sqlite) {
  const TemporaryFolder folder;
  KillAndCheck(folder / "states.db");
}

TEST(StoreCrashTest, Redis) {
  if (!RedisServer::Available()) GTEST_SKIP() << "there is no redis-server; Debian's package has that name";
  const RedisServer redis;
  KillAndCheck(redis.url());
}

/// The server itself is killed while it writes; what it had acknowledged is there when it is back.
TEST(StoreCrashTest, RedisItself) {
  if (!RedisServer::Available()) GTEST_SKIP() << "there is no redis-server; Debian's package has that name";
  RedisServer redis;
  const auto store = OpenStateStore(redis.url(), kModel);
  int number = 0;
  for (int i = 0; i < 10; ++i) {
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(37));
      redis.Stop(SIGKILL);
      redis.Start();
    });
    for (int puts = 0; puts < 10; ++puts, ++number)
      store->Put(StateOf(number, "c", IdOf(number)), SnapshotOf(number, kWidth));
    killer.join();
    CheckAll(*store, number - 1);
  }
}

}  // namespace
}  // namespace linnet
