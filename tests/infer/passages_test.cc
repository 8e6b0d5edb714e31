#include "infer/passages.h"

#include <gtest/gtest.h>

#include "formats/refusal.h"
#include "infer/generator.h"
#include "infer/naive_scores.h"

namespace linnet {
namespace {

constexpr double kTolerance = 2e-5;

std::vector<int> RandomTokens(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int> tokens(count);
  for (int& token : tokens) token = static_cast<int>(random.Below(256));
  return tokens;
}

PassageReader::Next EachOf(const std::vector<Passage>& passages) {
  return [&passages, given = size_t{0}](Passage& passage) mutable {
    if (given == passages.size()) return false;
    passage = passages[given++];
    return true;
  };
}

TEST(Passages, ScoresOfAnyMixAreThoseOfOneForwardPassEach) {
  const LoadedModel model = TinyModel();
  std::vector<Passage> passages;
  // Many short ones share a batch; long ones take several, and end in the middle of one.
  for (size_t length : {2, 3, 700, 5, 511, 512, 513, 1400, 2, 64, 64, 64}) {
    passages.push_back(Predicting(RandomTokens(length, length)));
  }
  for (int i = 0; i < 80; ++i)
    passages.push_back(Predicting(RandomTokens(3, 100 + i)));  // more than there are slots
  PassageReader reader(model);
  std::vector<std::vector<TokenScore>> scores(passages.size());
  int64_t last = 0;
  ScorePassages(*model.model, reader, EachOf(passages),
                [&](int64_t index, const Passage& passage, size_t position, const TokenScore& score) {
                  EXPECT_TRUE(index == last || index == last + 1);
                  last = index;
                  EXPECT_EQ(passage.tokens, passages[index].tokens);
                  EXPECT_EQ(position, scores[index].size() + 1);
                  scores[index].push_back(score);
                });
  for (size_t p = 0; p < passages.size(); ++p) {
    const auto naive = NaiveScores(model, passages[p].tokens);
    ASSERT_EQ(scores[p].size(), naive.size()) << p;
    for (size_t i = 0; i < naive.size(); ++i) {
      EXPECT_NEAR(scores[p][i].loss, naive[i].loss, kTolerance) << p << " " << i;
      EXPECT_EQ(scores[p][i].likeliest, naive[i].likeliest) << p << " " << i;
    }
  }
}

TEST(Passages, OnlyWantedRowsComeOut) {
  const LoadedModel model = TinyModel();
  const auto tokens = RandomTokens(1200, 1);
  const auto naive = NaiveScores(model, tokens);
  PassageReader reader(model);
  for (size_t first : {1, 2, 600, 1199}) {
    size_t next = first;
    ScorePassages(*model.model, reader, EachOf({Predicting(tokens, first)}),
                  [&](int64_t, const Passage&, size_t position, const TokenScore& score) {
                    EXPECT_EQ(position, next++);
                    EXPECT_NEAR(score.loss, naive[position - 1].loss, kTolerance);
                  });
    EXPECT_EQ(next, 1200u);
  }
}

TEST(Passages, AKeptStateGoesOnWhereItsPassageEnded) {
  const LoadedModel model = TinyModel();
  const auto tokens = RandomTokens(900, 5), other = RandomTokens(40, 6);
  const std::vector<int> head(tokens.begin(), tokens.begin() + 600), tail(tokens.begin() + 600, tokens.end());
  PassageReader reader(model, 2);
  int rows = 0;
  const auto count = [&](const Tensor&, std::span<const PassageRow> r) {
    rows += static_cast<int>(r.size());
  };
  reader.Read(EachOf({{head, 599, 600, -1, 0, 1}, {other, 39, 40, -1, 0, 0}}), count);
  EXPECT_EQ(rows, 2);
  const auto naive = NaiveScores(model, tokens);
  Passage rest = Predicting(tail);
  rest.from = 1;
  rest.before = 600;
  for (int again = 0; again < 2; ++again) {  // a kept state is copied, not used up
    ScorePassages(*model.model, reader, EachOf({rest}),
                  [&](int64_t, const Passage&, size_t position, const TokenScore& score) {
                    EXPECT_NEAR(score.loss, naive[600 + position - 1].loss, kTolerance);
                  });
  }
}

TEST(Passages, WhatMakesNoSenseIsRefused) {
  const LoadedModel model = TinyModel();
  PassageReader reader(model);
  const auto read = [&](const Passage& passage) {
    reader.Read(EachOf({passage}), [](const Tensor&, std::span<const PassageRow>) {});
  };
  EXPECT_THROW(read(Predicting({1})), Error);
  EXPECT_THROW(read(Predicting({})), Error);
  EXPECT_THROW(Predicting({1, 2}, 0), Error);
  EXPECT_THROW(read({{1, 2}, 0, 3}), Error);
  EXPECT_THROW(read({{1, 2}, 0, 2, 0}), Error);
  EXPECT_THROW(read({{1, 256}, 0, 2}), Error);
  EXPECT_NO_THROW(read({{1, 2}, 0, 2}));
}

TEST(ScoreTargets, ADamagedModelIsNamed) {
  const LoadedModel model = TinyModel();
  const Tensor hidden = Tensor::Zeros({2, 32});
  EXPECT_EQ(ScoreTargets(*model.model, hidden, std::vector<int>{3, 4}).size(), 2u);
  EXPECT_TRUE(
      ScoreTargets(*model.model, hidden, std::vector<int>{0, 1})[0].likeliest);  // the first of equals
  EXPECT_FALSE(ScoreTargets(*model.model, hidden, std::vector<int>{0, 1})[1].likeliest);
  EXPECT_THROW(ScoreTargets(*model.model, hidden, std::vector<int>{3, 256}), Error);
  hidden.data()[32] = std::nanf("");
  try {
    ScoreTargets(*model.model, hidden, std::vector<int>{3, 4});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("token 4"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace linnet
