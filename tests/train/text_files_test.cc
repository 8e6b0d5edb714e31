#include "train/text_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
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

DataOptions Options(double val_fraction, int64_t ctx, int64_t batch = 4, uint64_t seed = 1) {
  return {.ctx = ctx, .batch = batch, .accumulate = 1, .seed = seed, .val_fraction = val_fraction};
}

Samples DrawOne(const Dataset& data, int64_t step = 0) {
  DataPosition position;
  const std::vector<Samples> passes = data.Draw(step, position);
  EXPECT_EQ(passes.size(), 1u);
  EXPECT_EQ(position, DataPosition()) << "the step is the position";
  return passes.front();
}

TEST(TextFiles, TargetsAreTheNextTokens) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(5000));
  const Samples samples = DrawOne(TextFiles({folder / "text"}, Options(0.1, 40, 8)));
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

TEST(TextFiles, TheStepIsThePositionInTheData) {
  const TemporaryFolder folder;
  WriteFile(folder / "a", Counting(3000));
  WriteFile(folder / "b", Counting(1000));
  const std::vector<std::string> files{folder / "a", folder / "b"};
  const TextFiles one(files, Options(0.1, 16, 4, 7)), other(files, Options(0.1, 16, 4, 7));
  std::set<std::vector<int>> seen;
  for (int step = 0; step < 20; ++step) {
    const Samples samples = DrawOne(one, step);
    EXPECT_EQ(samples.batch.tokens, DrawOne(other, step).batch.tokens);
    seen.insert(samples.batch.tokens);
  }
  EXPECT_EQ(seen.size(), 20u);
  EXPECT_FALSE(seen.contains(DrawOne(TextFiles(files, Options(0.1, 16, 4, 8))).batch.tokens));
}

// What runs of earlier versions saw at a step, they see when they are resumed: places are drawn one after the
// other from the step's own random numbers, over all passes.
TEST(TextFiles, PlacesAreDrawnAsEver) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(240));
  DataOptions options = Options(0, 10, 3, 5);
  options.accumulate = 2;
  DataPosition position;
  const std::vector<Samples> passes = TextFiles({folder / "text"}, options).Draw(9, position);
  Random random(5, 9);
  for (const Samples& samples : passes) {
    for (int s = 0; s < 3; ++s) {
      EXPECT_EQ(samples.batch.tokens[samples.batch.start[s]], static_cast<int>(random.Below(230)));
    }
  }
}

TEST(TextFiles, TheHeldOutPartIsNeverLearntFrom) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", std::string(900, 'a') + std::string(100, 'z'));
  const TextFiles data({folder / "text"}, Options(0.1, 10, 2000));
  EXPECT_EQ(data.training_tokens(), 900);
  EXPECT_EQ(data.held_out_tokens(), 100);
  const Samples training = DrawOne(data);
  EXPECT_EQ(std::ranges::count(training.batch.tokens, 'a'), 20000);
  EXPECT_EQ(std::ranges::count(training.targets, 'a'), 20000);
  for (const Samples& samples : data.HeldOut(1 << 20)) {
    for (int token : samples.batch.tokens) EXPECT_EQ(token, 'z');
  }
}

TEST(TextFiles, FilesCountByTheirLength) {
  const TemporaryFolder folder;
  WriteFile(folder / "long", std::string(9000, 'l'));
  WriteFile(folder / "short", std::string(1000, 's'));
  const Samples samples = DrawOne(TextFiles({folder / "long", folder / "short"}, Options(0, 1, 20000, 3)));
  EXPECT_NEAR(static_cast<double>(std::ranges::count(samples.targets, 's')), 2000, 200);
}

TEST(TextFiles, EveryPlaceIsDrawnUpToTheLast) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(60));
  const Samples samples = DrawOne(TextFiles({folder / "text"}, Options(0, 50, 500, 3)));
  std::map<int, int> begins;
  for (int s = 0; s < 500; ++s) ++begins[samples.batch.tokens[samples.batch.start[s]]];
  EXPECT_EQ(begins.size(), 10u);
  EXPECT_EQ(begins.rbegin()->first, 9);
}

TEST(TextFiles, HeldOutSamplesDoNotOverlap) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(2000));
  const TextFiles data({folder / "text"}, Options(0.1, 30));
  // 200 bytes: six samples of 30 inputs, each with one more byte behind it.
  const std::vector<Samples> all = data.HeldOut(1 << 20);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].batch.sequences(), 4);
  EXPECT_EQ(all[1].batch.sequences(), 2);
  int expected = 1800 % 251;
  for (const Samples& samples : all) {
    samples.batch.Validate(4);
    for (int token : samples.batch.tokens) EXPECT_EQ(token, expected++ % 251);
  }
  const std::vector<Samples> some = data.HeldOut(90);
  ASSERT_EQ(some.size(), 1u);
  EXPECT_EQ(some[0].batch.sequences(), 3);
  EXPECT_EQ(data.HeldOut(1)[0].batch.sequences(), 1);
  EXPECT_TRUE(TextFiles({folder / "text"}, Options(0, 30)).HeldOut(1000).empty());
}

TEST(TextFiles, ShortFilesAreRefusedByName) {
  const TemporaryFolder folder;
  WriteFile(folder / "text", Counting(100));
  const std::string name = folder / "text";
  const auto open = [](const std::vector<std::string>& names, double val_fraction, int64_t ctx) {
    return [=] { OpenDataset(names, Options(val_fraction, ctx)); };
  };
  EXPECT_TRUE(Refused(open({name}, 0, 100), {name, "100 bytes", "--ctx 99 or less"}));
  EXPECT_TRUE(Refused(open({name}, 0.1, 10), {name, "held-out part has 10 bytes", "--val-fraction"}));
  EXPECT_NO_THROW(open({name}, 0, 99)());
  EXPECT_NO_THROW(open({name}, 0.11, 10)());
  WriteFile(folder / "empty", "");
  EXPECT_TRUE(Refused(open({name, folder / "empty"}, 0, 10), {"empty", "the file is empty"}));
  EXPECT_TRUE(Refused(open({folder / "none"}, 0, 10), {"none", "cannot be opened"}));
}

}  // namespace
}  // namespace linnet
