// Tasks that are read from files: text, and images in IDX files.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/check.h"
#include "cli/program.h"
#include "lab/task.h"

namespace linnet::lab {
namespace {

std::string Idx(const std::vector<int>& extents, const std::string& values) {
  std::string file{0, 0, 8, static_cast<char>(extents.size())};
  for (int e : extents) {
    for (int shift : {24, 16, 8, 0}) file += static_cast<char>(e >> shift & 255);
  }
  return file + values;
}

class FileTasks : public testing::Test {
 protected:
  /// Images whose pixel (r, c) of image i is (i + 28 r + c) mod 256, and labels i mod 10.
  void WriteImages(const std::string& prefix, int count) {
    std::string pixels, labels;
    for (int i = 0; i < count; ++i) {
      for (int p = 0; p < 784; ++p) pixels += static_cast<char>((i + p) % 256);
      labels += static_cast<char>(i % 10);
    }
    WriteFile(folder_ / (prefix + "-images-idx3-ubyte"), Idx({count, 28, 28}, pixels));
    WriteFile(folder_ / (prefix + "-labels-idx1-ubyte"), Idx({count}, labels));
  }
  std::string Folder() const { return (folder_ / "").string(); }

  TemporaryFolder folder_;
};

TEST_F(FileTasks, PixelsAreReadRowByRow) {
  WriteImages("train", 5010);
  WriteImages("t10k", 20);
  const NamedTask named = MakeTask("smnist", {Folder()});
  const Example e = named.task->Draw(Part::kTest, 1, 3);
  ASSERT_EQ(e.tokens.size(), 784u);
  for (int p = 0; p < 784; ++p) EXPECT_EQ(e.tokens[p], (3 + p) % 256);
  EXPECT_EQ(e.targets.back(), 3);
  EXPECT_EQ(std::ranges::count(e.targets, -1), 783);
  // The validation part is the end of the training images; what is learnt is the rest, each once an epoch.
  EXPECT_EQ(named.task->Draw(Part::kValidation, 1, 0).tokens[0], 10 % 256);
  std::vector<int> first;
  for (int i = 0; i < 10; ++i) first.push_back(named.task->Draw(Part::kTraining, 1, i).tokens[0]);
  std::ranges::sort(first);
  EXPECT_EQ(first, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(FileTasks, PermutedPixelsAreTheSamePixels) {
  WriteImages("train", 5010);
  WriteImages("t10k", 20);
  const Example plain = MakeTask("smnist", {Folder()}).task->Draw(Part::kTest, 1, 3);
  const NamedTask permuted = MakeTask("psmnist", {Folder()});
  Example e = permuted.task->Draw(Part::kTest, 1, 3);
  EXPECT_NE(e.tokens, plain.tokens);
  EXPECT_EQ(e.targets, plain.targets);
  // One order for all: where image 3 has pixel p, image 0 has p, too.
  const Example other = permuted.task->Draw(Part::kTest, 1, 0);
  for (int i = 0; i < 784; ++i) EXPECT_EQ((other.tokens[i] + 3) % 256, e.tokens[i]);
  std::vector<int> sorted = plain.tokens;
  std::ranges::sort(sorted);
  std::ranges::sort(e.tokens);
  EXPECT_EQ(e.tokens, sorted);
}

TEST_F(FileTasks, SquaresOfPixelsAreAveraged) {
  WriteImages("train", 5010);
  WriteImages("t10k", 20);
  const Example e = MakeTask("smnist:side=14", {Folder()}).task->Draw(Part::kTest, 1, 0);
  ASSERT_EQ(e.tokens.size(), 196u);
  EXPECT_EQ(e.tokens[0], (0 + 1 + 28 + 29) / 4);
  EXPECT_EQ(e.tokens[1], (2 + 3 + 30 + 31) / 4);
  EXPECT_EQ(e.tokens[14], (56 + 57 + 84 + 85) / 4);
  EXPECT_THROW(MakeTask("smnist:side=13", {Folder()}), Error);
}

TEST_F(FileTasks, ImagesThatDoNotFitAreRefused) {
  EXPECT_THROW(MakeTask("smnist", {Folder()}), Error);  // no files
  WriteImages("train", 100);
  WriteImages("t10k", 20);
  EXPECT_THROW(MakeTask("smnist", {Folder()}), Error);  // fewer than the validation part
}

TEST_F(FileTasks, TextIsCutIntoThreeParts) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += static_cast<char>(i / 16 % 256);
  WriteFile(folder_ / "text", text);
  const NamedTask named = MakeTask("text:length=10", {folder_ / "text"});
  const auto place = [&](const Example& e) {  // of its first byte, to 16 bytes
    return e.tokens[0] * 16;
  };
  for (int i = 0; i < 300; ++i) EXPECT_LT(place(named.task->Draw(Part::kTraining, 1, i)), 3600);
  ASSERT_EQ(named.task->held_out(), 19);  // windows of 10 in 200 bytes, each with the byte behind it
  for (int i = 0; i < 19; ++i) {
    const Example e = named.task->Draw(Part::kTest, 1, i);
    for (int j = 0; j < 10; ++j) {
      EXPECT_EQ(e.tokens[j], (3800 + 10 * i + j) / 16 % 256);
      EXPECT_EQ(e.targets[j], (3801 + 10 * i + j) / 16 % 256);
    }
    EXPECT_EQ(named.task->Draw(Part::kValidation, 1, i).tokens[0], (3600 + 10 * i) / 16 % 256);
  }
  EXPECT_THROW(MakeTask("text:length=200", {folder_ / "text"}), Error);
  EXPECT_THROW(MakeTask("text", {}), Error);
}

}  // namespace
}  // namespace linnet::lab
