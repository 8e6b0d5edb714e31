#include "infer/choices.h"

#include <gtest/gtest.h>

#include "infer/generator.h"
#include "infer/naive_scores.h"

namespace linnet {
namespace {

constexpr double kTolerance = 1e-4;  // of a sum over some tens of tokens

/// Every prompt and choice read from the start.
double NaiveLogLikelihood(const LoadedModel& model, const Question& question, size_t choice) {
  std::vector<int> tokens = question.prompt;
  const std::vector<int>& rest = question.choices[choice].tokens;
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  const auto scores = NaiveScores(model, tokens);
  double sum = 0;
  for (size_t i = scores.size() - rest.size(); i < scores.size(); ++i) sum -= scores[i].loss;
  return sum;
}

/// Read as Prefill() reads, alone.
double AloneLogLikelihood(const LoadedModel& model, const Question& question, size_t choice) {
  std::vector<int> tokens = question.prompt;
  const std::vector<int>& rest = question.choices[choice].tokens;
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  const State state = model.NewState(1);
  double sum = 0;
  for (size_t begin = 0; begin + 1 < tokens.size(); begin += kPrefillRows) {
    const size_t end = std::min<size_t>(begin + kPrefillRows, tokens.size() - 1);
    Batch batch;
    batch.Append(
        {tokens.begin() + static_cast<ptrdiff_t>(begin), tokens.begin() + static_cast<ptrdiff_t>(end)}, 0);
    const Tensor hidden = model.model->Hidden(batch, state);
    const auto scores = ScoreTargets(*model.model, hidden, std::span(tokens).subspan(begin + 1, end - begin));
    for (size_t i = begin + 1; i <= end; ++i)
      if (i >= question.prompt.size()) sum -= scores[i - begin - 1].loss;
  }
  return sum;
}

void ExpectNaive(const LoadedModel& model, const std::vector<Question>& questions) {
  const auto scores = ScoreQuestions(model, questions);
  ASSERT_EQ(scores.size(), questions.size());
  for (size_t q = 0; q < questions.size(); ++q) {
    ASSERT_EQ(scores[q].size(), questions[q].choices.size());
    for (size_t c = 0; c < scores[q].size(); ++c) {
      EXPECT_NEAR(scores[q][c], NaiveLogLikelihood(model, questions[q], c), kTolerance) << q << " " << c;
    }
  }
}

Question Make(const std::string& subject, const std::string& prompt,
              const std::vector<std::string>& choices) {
  return Encode(BytesTokenizer(), QuestionText{subject, prompt, choices, 0});
}

TEST(ScoreQuestions, AreAsIfEachChoiceWereReadFromTheStart) {
  const LoadedModel model = TinyModel();
  ExpectNaive(model, {Make("", "abc", {" A", " B"})});
  ExpectNaive(model, {Make("", "", {"x", "yz", "y"})});
  ExpectNaive(model, {Make("", RandomText(1100, 1), {"a", RandomText(700, 2), "c"})});
  ExpectNaive(model, {Make("", "a", std::vector<std::string>(100, "xyz"))});  // more than there are slots
}

TEST(ScoreQuestions, SharedBeginningsChangeNothing) {
  const LoadedModel model = TinyModel();
  const std::string heading = RandomText(620, 3);
  std::vector<Question> questions;
  for (uint64_t i = 0; i < 37; ++i) {
    questions.push_back(Make("one", heading + RandomText(i % 9, i), {" A", " B", " long answer"}));
  }
  // Another subject, the same prompt twice, one that is the beginning of the next, one of the first again.
  questions.push_back(Make("two", "abc", {"x", "y"}));
  questions.push_back(Make("two", "abc", {"x", "yz"}));
  questions.push_back(Make("two", "ab", {"x", "y"}));
  questions.push_back(Make("one", heading, {"x", "y"}));
  ExpectNaive(model, questions);
}

TEST(ScoreQuestions, TogetherEqualOneByOne) {
  const LoadedModel model = TinyModel();
  std::vector<Question> questions;
  for (uint64_t i = 0; i < 20; ++i) {
    questions.push_back(
        Make("s", RandomText(10 + i, i), {RandomText(1 + i % 5, i + 100), RandomText(4, i + 200)}));
  }
  int64_t last = 0;
  const auto all = ScoreQuestions(model, questions, [&](int64_t done, int64_t total) {
    EXPECT_GT(done, last);
    EXPECT_EQ(total, 20);
    last = done;
  });
  EXPECT_EQ(last, 20);
  for (size_t q = 0; q < questions.size(); ++q) {
    const auto alone = ScoreQuestions(model, std::span(questions).subspan(q, 1));
    for (size_t c = 0; c < alone[0].size(); ++c) EXPECT_NEAR(all[q][c], alone[0][c], kTolerance);
  }
}

/// What a text is read beside, and where it is cut for that, must not be felt.
TEST(ScoreQuestions, AreToTheBitThoseOfTheTextsReadAlone) {
  const LoadedModel model = TinyModel();
  const std::string heading = RandomText(300, 3);
  std::vector<Question> questions;
  for (uint64_t i = 0; i < 20; ++i) {
    questions.push_back(Make("one", heading + RandomText(i * 7, i),
                             {"A", RandomText(1 + i, i), RandomText(150 * i % 500 + 1, i + 50)}));
    if (i % 3 == 0) questions.push_back(Make("one", heading + RandomText(i * 11, i), {"A", "B"}));
  }
  for (const size_t length : {0, 1, 14, 15, 16, 30, 31, 32, 33, 500, 510, 511, 512, 520, 1030})
    questions.push_back(Make("", RandomText(length, length), {"x", "yz", RandomText(17, length)}));
  const auto scores = ScoreQuestions(model, questions);
  for (size_t q = 0; q < questions.size(); ++q) {
    for (size_t c = 0; c < scores[q].size(); ++c)
      EXPECT_EQ(scores[q][c], AloneLogLikelihood(model, questions[q], c)) << q << " " << c;
  }
}

TEST(EncodePair, ThePromptIsWhatTheTextsHaveInCommon) {
  const BytesTokenizer tokenizer;
  const Question question = EncodePair(tokenizer, {"he ran.", "he sat"});
  EXPECT_EQ(question.prompt, (std::vector<int>{0, 'h', 'e', ' '}));
  EXPECT_EQ(question.choices[0].tokens, tokenizer.Encode("ran."));
  EXPECT_EQ(question.choices[1].tokens, tokenizer.Encode("sat"));
  EXPECT_EQ(question.choices[0].bytes, 4);
  EXPECT_EQ(question.answer, 0);
  // Something is left of each, even if one is the beginning of the other.
  const Question begins = EncodePair(tokenizer, {"he", "he sat"});
  EXPECT_EQ(begins.prompt, (std::vector<int>{0, 'h'}));
  EXPECT_EQ(begins.choices[0].tokens, tokenizer.Encode("e"));
}

TEST(Tally, CountsByScoreAndByLength) {
  Question question{"", {0}, {{{1}, 1}, {{1, 2}, 8}, {{1, 2, 3, 4}, 4}}, 1};
  Tally tally;
  tally.Add(question,
            std::vector<double>{-1, -1.5, -9});  // per token -1, -.75, -2.25; per byte -1, -.19, -2.25
  EXPECT_EQ(tally.questions, 1);
  EXPECT_EQ(tally.right, 0);
  EXPECT_EQ(tally.right_per_token, 1);
  EXPECT_EQ(tally.right_per_byte, 1);
  EXPECT_DOUBLE_EQ(tally.chance, 1.0 / 3);
  question.answer = 0;
  tally.Add(question, std::vector<double>{-1, -1.5, -9});
  EXPECT_EQ(tally.right, 1);
  EXPECT_EQ(tally.right_per_token, 1);
  EXPECT_DOUBLE_EQ(tally.Share(tally.right), 0.5);
}

TEST(Tally, OfEqualScoresNoneWins) {
  const Question question{"", {0}, {{{1}, 1}, {{2}, 1}, {{3}, 1}, {{4}, 1}}, 0};
  Tally tally;
  tally.Add(question, std::vector<double>{-1, -1, -1, -1});
  EXPECT_DOUBLE_EQ(tally.right, 0.25);
  EXPECT_DOUBLE_EQ(tally.chance, 0.25);
}

}  // namespace
}  // namespace linnet
