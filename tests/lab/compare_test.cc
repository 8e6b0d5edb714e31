// Whole comparisons, of a few steps.
#include "lab/compare.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "cli/program.h"
#include "lab/results.h"

namespace linnet::lab {
namespace {

/// Counts what happens, and asks to stop after so many steps.
class Counter : public CompareObserver {
 public:
  int steps = 0, done = 0, there = 0, stop_after = -1;

  void StepDone(const std::string&, const StepRecord&, const Progress&) override { ++steps; }
  void RunDone(const std::string&, const RunResult&, bool was_there) override {
    ++(was_there ? there : done);
  }
  bool StopRequested() override { return steps == stop_after; }
};

class CompareTest : public testing::Test {
 protected:
  CompareOptions Options(const std::string& out) const {
    CompareOptions o;
    o.task = "parity:length=8";
    o.architectures = {"rwkv4", "rwkv7:layers=1"};
    o.parameters = 12'000, o.layers = 1;
    o.steps = 40, o.seeds = 2, o.batch = 4, o.rates = {1e-3, 1e-2};
    o.threads = 1;
    o.out = folder_ / out;
    return o;
  }
  TemporaryFolder folder_;
};

/// What must not depend on when and where a run was made.
std::string Lasting(const Comparison& comparison) {
  nlohmann::json all = nlohmann::json::parse(ToJson(comparison));
  for (auto& architecture : all["architectures"]) {
    for (const char* kind : {"runs", "grid"}) {
      for (auto& run : architecture[kind]) {
        for (const char* clock : {"seconds", "tokens_per_s", "generation_tokens_per_s"}) run.erase(clock);
        for (auto& point : run["curve"]) point.erase("seconds");
      }
    }
  }
  return all.dump();
}

TEST_F(CompareTest, RunsTheGridThenTheSeeds) {
  Counter counter;
  const auto comparison = Compare(Options("a"), counter);
  ASSERT_TRUE(comparison);
  EXPECT_EQ(counter.done, 2 * (2 + 2));
  EXPECT_EQ(counter.steps, 2 * (2 * 4 + 2 * 40));
  ASSERT_EQ(comparison->results.size(), 2u);
  for (const ArchitectureResult& r : comparison->results) {
    EXPECT_NEAR(static_cast<double>(r.model.parameters), 12'000, 600);
    ASSERT_EQ(r.grid.size(), 2u);
    const bool second = r.grid[1].validation_loss < r.grid[0].validation_loss;
    EXPECT_EQ(r.rate, second ? 1e-2 : 1e-3);
    ASSERT_EQ(r.runs.size(), 2u);
    for (const RunResult& run : r.runs) {
      EXPECT_EQ(run.rate, r.rate);
      EXPECT_EQ(run.steps, 40);
      EXPECT_EQ(run.tokens, 40 * 4 * 8);
      EXPECT_EQ(run.curve.size(), 20u);
      EXPECT_EQ(run.curve.back().tokens, run.tokens);
      EXPECT_GT(run.score.accuracy, 0.4);
      EXPECT_EQ(run.score.sequences, 2000);
      EXPECT_LT(run.running.parallel_gap, 1e-4);
    }
    EXPECT_NE(r.runs[0].score.loss, r.runs[1].score.loss);
  }
  EXPECT_TRUE(std::filesystem::exists(folder_ / "a/results.json"));
}

TEST_F(CompareTest, AStoppedComparisonGoesOnToTheSameEnd) {
  Counter whole;
  const auto wanted = Compare(Options("whole"), whole);
  ASSERT_TRUE(wanted);
  // Stopped in a run of the grid, and twice in whole ones.
  std::optional<Comparison> comparison;
  int steps = 0;
  for (int stop_after : {6, 30, 100, -1}) {
    Counter counter;
    counter.stop_after = stop_after;
    comparison = Compare(Options("stopped"), counter);
    EXPECT_EQ(comparison.has_value(), stop_after == -1);
    steps += counter.steps;
  }
  EXPECT_EQ(steps, whole.steps) << "steps were repeated";
  EXPECT_EQ(Lasting(*comparison), Lasting(*wanted));
  Counter again;
  EXPECT_TRUE(Compare(Options("stopped"), again));
  EXPECT_EQ(again.steps, 0);
  EXPECT_EQ(again.there, 8);
}

TEST_F(CompareTest, MoreArchitecturesAndSeedsButNothingElse) {
  CompareOptions o = Options("a");
  o.steps = 4, o.rates = {1e-3};
  Counter first, more;
  ASSERT_TRUE(Compare(o, first));
  o.architectures.push_back("rwkv5:layers=1");
  o.seeds = 3;
  ASSERT_TRUE(Compare(o, more));
  EXPECT_EQ(more.there, 4);
  EXPECT_EQ(more.done, 2 + 3);
  o.batch = 8;
  EXPECT_THROW(Compare(o, more), Error);
}

TEST_F(CompareTest, EndsARunThatIsGoodEnough) {
  CompareOptions o = Options("a");
  o.rates = {1e-3}, o.seeds = 1, o.until = 1e-9, o.architectures = {"rwkv4"};
  o.task = "induction:length=4:symbols=2";
  Counter counter;
  const auto comparison = Compare(o, counter);
  ASSERT_TRUE(comparison);
  EXPECT_TRUE(comparison->results[0].runs[0].solved);
  EXPECT_LT(comparison->results[0].runs[0].steps, 40);
}

TEST_F(CompareTest, RefusesBeforeAnythingIsWritten) {
  const auto refuses = [&](auto change) {
    CompareOptions o = Options("never");
    change(o);
    Counter counter;
    EXPECT_THROW(Compare(o, counter), Error);
    EXPECT_FALSE(std::filesystem::exists(folder_ / "never"));
  };
  refuses([](CompareOptions& o) { o.task = "party"; });
  refuses([](CompareOptions& o) { o.architectures = {"rwkv4", "rwkv44"}; });
  refuses([](CompareOptions& o) { o.architectures = {"rwkv4", "rwkv4"}; });
  refuses([](CompareOptions& o) { o.parameters = 100; });
  refuses([](CompareOptions& o) { o.minutes = 1; });
  refuses([](CompareOptions& o) { o.steps = 0; });
}

TEST(Results, ReadBack) {
  RunResult r;
  r.rate = 1e-3, r.seed = 2, r.steps = 3, r.tokens = 4, r.seconds = 5.5, r.tokens_per_s = 6, r.solved = true;
  r.validation_loss = 0.1, r.score = {1, 0.2, 0.3, 0.4, 5, 6}, r.carried = 1.5, r.running = {7, 8, 1e-6};
  r.curve = {{1, 2, 3, 4}}, r.failure = "x";
  EXPECT_EQ(ToJson(ParseRunResult(ToJson(r), "f")), ToJson(r));
  EXPECT_THROW(ParseRunResult("{}", "f"), Error);
  EXPECT_EQ(Median({3, 1, 2}), 2);
  EXPECT_EQ(Median({4, 1}), 2.5);
}

}  // namespace
}  // namespace linnet::lab
