#include "train/token_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/random.h"
#include "cli/program.h"
#include "formats/binidx.h"
#include "train/refusal.h"

namespace linnet {
namespace {

/// Documents whose tokens tell where they stand: token i of document d is 100 (d + 1) + i, the last one 0.
class TokenFilesTest : public testing::Test {
 protected:
  std::string Write(const std::vector<int>& lengths, const std::vector<std::vector<uint8_t>>& learnt = {}) {
    BinidxWriter writer(folder_ / "data", TokenType::kU16, "qa");
    for (size_t d = 0; d < lengths.size(); ++d) {
      std::vector<int> ids(lengths[d]);
      for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int>(100 * (d + 1) + i);
      if (!ids.empty()) ids.back() = 0;
      writer.Append(ids, learnt.empty() ? std::vector<uint8_t>() : learnt[d]);
      writer.EndDocument();
    }
    writer.Commit();
    return folder_ / "data";
  }

  static DataOptions Options(int64_t ctx, int64_t batch, const std::string& pack = "") {
    return {.ctx = ctx, .batch = batch, .seed = 3, .pack = pack, .ids = 65536};
  }

  TemporaryFolder folder_;
};

/// The targets of sequence s.
std::vector<int> Targets(const Samples& samples, int s) {
  return {samples.targets.begin() + samples.batch.start[s],
          samples.targets.begin() + samples.batch.start[s + 1]};
}

TEST_F(TokenFilesTest, AnEpochSeesEveryDocumentOnceAndWhole) {
  const std::vector<int> lengths{3, 7, 2, 16, 5, 1, 9, 12, 4, 6};
  const auto data = OpenTokenFiles(Write(lengths), Options(16, 2));
  std::map<int, int> seen;  // times of each document, over 30 epochs
  DataPosition position;
  std::vector<std::vector<int>> orders(30);
  for (int64_t step = 0; position.epoch < 30; ++step) {
    const int64_t epoch = position.epoch;
    const Samples pass = data->Draw(step, position).front();
    pass.batch.Validate(64);
    EXPECT_LE(pass.targets.size(), 32u);
    for (int s = 0; s < pass.batch.sequences(); ++s) {
      const std::vector<int> targets = Targets(pass, s);
      if (targets.front() == 0) continue;  // the document of one token
      const int d = targets.front() / 100 - 1, first = targets.front() % 100;
      const int input = pass.batch.tokens[pass.batch.start[s]];
      // Behind an end of text all tokens are targets, from the initial state all but the first.
      EXPECT_EQ(input, first == 0 ? 0 : 100 * (d + 1));
      EXPECT_LE(first, 1);
      EXPECT_EQ(targets.size() + first, lengths[d]);
      EXPECT_EQ(targets.back(), 0);
      ++seen[d];
      if (epoch < 30) orders[epoch].push_back(d);
    }
  }
  for (int d = 0; d < 10; ++d) {
    if (lengths[d] <= 2) continue;
    EXPECT_NEAR(seen[d], 30, 1) << d;  // one pass may reach beyond the last epoch
  }
  EXPECT_GT(std::set<std::vector<int>>(orders.begin(), orders.end()).size(), 25u) << "epochs have one order";
}

TEST_F(TokenFilesTest, LongDocumentsAreCutIntoPieces) {
  const auto data = OpenTokenFiles(Write({23}), Options(10, 1));
  DataPosition position;
  // The first epoch begins behind an end of text, the second with the initial state.
  const size_t sizes[] = {10, 10, 3, 9, 10, 3};
  int expected = 100;
  for (int64_t step = 0; step < 6; ++step) {
    const Samples pass = data->Draw(step, position).front();
    ASSERT_EQ(pass.batch.sequences(), 1);
    ASSERT_EQ(pass.targets.size(), sizes[step]) << step;
    if (step == 3) expected = 101;
    EXPECT_EQ(pass.batch.tokens[0], step == 0 ? 0 : expected - 1);
    for (size_t i = 0; i < sizes[step]; ++i, ++expected) {
      EXPECT_EQ(pass.targets[i], expected == 122 ? 0 : expected);
    }
    EXPECT_EQ(position.epoch, step / 3 + (step % 3 == 2)) << step;
  }
}

TEST_F(TokenFilesTest, ThePositionIsAllThatResumingNeeds) {
  std::vector<int> lengths;
  Random random(1);
  for (int i = 0; i < 50; ++i) lengths.push_back(static_cast<int>(1 + random.Below(40)));
  const std::string name = Write(lengths);
  DataOptions options = Options(16, 3);
  options.accumulate = 2;
  const auto data = OpenTokenFiles(name, options);
  DataPosition position;
  for (int64_t step = 0; step < 40; ++step) {
    DataPosition again = position;
    const std::vector<Samples> passes = data->Draw(step, position);
    const std::vector<Samples> same = OpenTokenFiles(name, options)->Draw(step, again);
    ASSERT_EQ(passes.size(), 2u);
    for (int i = 0; i < 2; ++i) {
      EXPECT_EQ(passes[i].batch.tokens, same[i].batch.tokens);
      EXPECT_EQ(passes[i].targets, same[i].targets);
    }
    EXPECT_EQ(position, again);
  }
  EXPECT_GT(position.epoch, 0);
}

TEST_F(TokenFilesTest, OnlyWhatTheMaskMarksIsLearnt) {
  const std::string name = Write({4, 3, 4}, {{0, 1, 1, 1}, {0, 0, 0}, {0, 0, 1, 0}});
  const auto data = OpenTokenFiles(name, Options(8, 1));
  EXPECT_EQ(data->chat_template(), "qa");
  DataPosition position;
  for (int64_t step = 0; step < 10; ++step) {
    const Samples pass = data->Draw(step, position).front();
    EXPECT_GT(CountTargets(pass), 0);
    for (int target : pass.targets) {
      EXPECT_TRUE(target == -1 || target == 0 || target == 101 || target == 102 || target == 302) << target;
    }
    EXPECT_EQ(std::ranges::count_if(pass.batch.tokens, [](int id) { return id >= 200 && id < 300; }), 0)
        << "a document with nothing to learn";
  }
  EXPECT_TRUE(Refused(
      [&] {
        OpenTokenFiles(Write({2, 2}, {{0, 0}, {0, 0}}), Options(8, 1));
      },
      {"data.bin", "nothing to learn"}));
}

TEST_F(TokenFilesTest, TheLastDocumentsAreHeldOut) {
  DataOptions options = Options(8, 2);
  options.val_fraction = 0.25;
  const auto data = OpenTokenFiles(Write({5, 9, 5, 5, 5, 5, 20, 3}), options);
  EXPECT_EQ(data->training_tokens(), 34);
  EXPECT_EQ(data->held_out_tokens(), 23);
  DataPosition position;
  for (int64_t step = 0; step < 20; ++step) {
    const Samples pass = data->Draw(step, position).front();
    for (int target : pass.targets) EXPECT_LT(target, 700);
  }
  std::vector<int> targets;
  for (const Samples& pass : data->HeldOut(1 << 20)) {
    pass.batch.Validate(16);
    EXPECT_LE(pass.targets.size(), 16u);
    targets.insert(targets.end(), pass.targets.begin(), pass.targets.end());
  }
  std::vector<int> expected;
  for (int i = 0; i < 19; ++i) expected.push_back(700 + i);
  expected.insert(expected.end(), {0, 800, 801, 0});
  EXPECT_EQ(targets, expected);
  int64_t some = 0;
  for (const Samples& pass : data->HeldOut(8)) some += CountTargets(pass);
  EXPECT_GT(some, 0);
  EXPECT_LE(some, 16);

  options.val_fraction = 0.9;
  EXPECT_TRUE(
      Refused([&] { OpenTokenFiles(Write({5}), options); }, {"data.bin", "1 documents", "--val-fraction"}));
}

TEST_F(TokenFilesTest, AStreamGoesAcrossDocuments) {
  const auto data = OpenTokenFiles(Write({30, 30, 30}), Options(8, 2, "stream"));
  // 90 tokens, 11 samples: the prime is 5, the factor 3.
  DataPosition position;
  std::vector<int> begins;
  for (int64_t step = 0; step < 3; ++step) {
    const Samples pass = data->Draw(step, position).front();
    pass.batch.Validate(2);
    ASSERT_EQ(pass.targets.size(), 16u);
    for (int s = 0; s < 2; ++s) begins.push_back(pass.batch.tokens[pass.batch.start[s]]);
    for (int i = 0; i < 15; ++i) {
      if (i == 7) continue;  // the border of the two samples
      EXPECT_EQ(pass.targets[i], pass.batch.tokens[i + 1]);
    }
  }
  EXPECT_EQ(position, DataPosition());
  // (3 n^3 mod 5) * 8 for n = 1 ... 6: 24, 32, 8, 16, 0, 24.
  EXPECT_EQ(begins, (std::vector<int>{124, 202, 108, 116, 100, 124}));
  EXPECT_TRUE(
      Refused([&] { OpenTokenFiles(Write({30}), Options(12, 1, "stream")); }, {"--pack stream", "--ctx 10"}));
}

}  // namespace
}  // namespace linnet
