#include "train/data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "cli/program.h"
#include "train/refusal.h"

namespace linnet {
namespace {

/// Bytes that tell their own place: 0, 1, ... 250, 0, 1, ...
std::string Counting(int64_t bytes) {
  std::string text;
  for (int64_t i = 0; i < bytes; ++i) text += static_cast<char>(i % 251);
  return text;
}

TEST(Data, TargetsAreTheNextTokens) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(5000));
  const Dataset data({folder / "text"}, 0.1, 40);
  Random random(1, 0);
  const Samples samples = data.Draw(random, 8);
  EXPECT_EQ(samples.batch.sequences(), 8);
  EXPECT_EQ(samples.batch.tokens.size(), 320u);
  samples.batch.Validate(8);
  for (size_t i = 0; i < samples.targets.size(); ++i) {
    EXPECT_EQ(samples.targets[i], (samples.batch.tokens[i] + 1) % 251);
    if (i % 40 != 0) {
      EXPECT_EQ(samples.batch.tokens[i], samples.targets[i - 1]);
    }
  }
}

TEST(Data, TheStepIsThePositionInTheData) {
  const TemporaryFolder folder;
  WriteFile(folder / "a", Counting(3000));
  WriteFile(folder / "b", Counting(1000));
  const Dataset one({folder / "a", folder / "b"}, 0.1, 16), other({folder / "a", folder / "b"}, 0.1, 16);
  std::set<std::vector<int>> seen;
  for (int step = 0; step < 20; ++step) {
    Random first(7, step), again(7, step);
    const Samples samples = one.Draw(first, 4);
    EXPECT_EQ(samples.batch.tokens, other.Draw(again, 4).batch.tokens);
    seen.insert(samples.batch.tokens);
  }
  EXPECT_EQ(seen.size(), 20u);
  Random seed(8, 0);
  EXPECT_FALSE(seen.contains(one.Draw(seed, 4).batch.tokens));
}

TEST(Data, EvaluationIsOfWholeFiles) {
  const TemporaryFolder folder;
  WriteFile(folder / "a", Counting(100));
  WriteFile(folder / "b", Counting(60));
  const std::vector<std::string> files{folder / "a", folder / "b"};
  const std::vector<Samples> all = EvaluationSamples(files, 20, 3, 1000);
  ASSERT_EQ(all.size(), 2u);  // 4 samples of a, 2 of b, as a target follows each token
  EXPECT_EQ(all[0].batch.sequences(), 3);
  EXPECT_EQ(all[0].batch.tokens.front(), 0);
  EXPECT_EQ(all[1].targets.back(), 40);
  EXPECT_EQ(EvaluationSamples(files, 20, 3, 40)[0].batch.sequences(), 2);
  EXPECT_TRUE(EvaluationSamples({}, 20, 3, 1000).empty());
}

TEST(Data, TheHeldOutPartIsNeverLearntFrom) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", std::string(900, 'a') + std::string(100, 'z'));
  const Dataset data({folder / "text"}, 0.1, 10);
  EXPECT_EQ(data.training_bytes(), 900);
  EXPECT_EQ(data.held_out_bytes(), 100);
  Random random(1, 0);
  const Samples training = data.Draw(random, 2000);
  EXPECT_EQ(std::ranges::count(training.batch.tokens, 'a'), 20000);
  EXPECT_EQ(std::ranges::count(training.targets, 'a'), 20000);
  for (const Samples& samples : data.HeldOut(1 << 20, 4)) {
    for (int token : samples.batch.tokens) EXPECT_EQ(token, 'z');
  }
}

TEST(Data, FilesCountByTheirLength) {
  const TemporaryFolder folder;
  WriteFile(folder / "long", std::string(9000, 'l'));
  WriteFile(folder / "short", std::string(1000, 's'));
  const Dataset data({folder / "long", folder / "short"}, 0, 1);
  Random random(3, 0);
  const Samples samples = data.Draw(random, 20000);
  EXPECT_NEAR(static_cast<double>(std::ranges::count(samples.targets, 's')), 2000, 200);
}

TEST(Data, EveryPlaceIsDrawnUpToTheLast) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(60));
  const Dataset data({folder / "text"}, 0, 50);
  Random random(3, 0);
  std::map<int, int> begins;
  const Samples samples = data.Draw(random, 500);
  for (int s = 0; s < 500; ++s) ++begins[samples.batch.tokens[samples.batch.start[s]]];
  EXPECT_EQ(begins.size(), 10u);
  EXPECT_EQ(begins.rbegin()->first, 9);
}

TEST(Data, HeldOutSamplesDoNotOverlap) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(2000));
  const Dataset data({folder / "text"}, 0.1, 30);
  // 200 bytes: six samples of 30 inputs, each with one more byte behind it.
  const std::vector<Samples> all = data.HeldOut(1 << 20, 4);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].batch.sequences(), 4);
  EXPECT_EQ(all[1].batch.sequences(), 2);
  int expected = 1800 % 251;
  for (const Samples& samples : all) {
    samples.batch.Validate(4);
    for (int token : samples.batch.tokens) EXPECT_EQ(token, expected++ % 251);
  }
  const std::vector<Samples> some = data.HeldOut(90, 4);
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0].batch.sequences(), 3);
  EXPECT_EQ(data.HeldOut(1, 4)[0].batch.sequences(), 1);
  EXPECT_TRUE(Dataset({folder / "text"}, 0, 30).HeldOut(1000, 4).empty());
}

TEST(Data, ShortFilesAreRefusedByName) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(100));
  const std::string name = folder / "text";
  EXPECT_TRUE(Refused([&] { Dataset({name}, 0, 100); }, {name, "100 bytes", "--ctx 99 or less"}));
  EXPECT_TRUE(
      Refused([&] { Dataset({name}, 0.1, 10); }, {name, "held-out part has 10 bytes", "--val-fraction"}));
  EXPECT_NO_THROW(Dataset({name}, 0, 99));
  EXPECT_NO_THROW(Dataset({name}, 0.11, 10));
  WriteFile(folder / "empty", "");
  EXPECT_TRUE(Refused([&] { Dataset({name, folder / "empty"}, 0, 10); }, {"empty", "the file is empty"}));
  EXPECT_TRUE(Refused([&] { Dataset({folder / "none"}, 0, 10); }, {"none", "cannot be opened"}));
}

}  // namespace
}  // namespace linnet
