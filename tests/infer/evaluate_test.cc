#include "infer/evaluate.h"

#include <gtest/gtest.h>

#include "infer/naive_scores.h"
#include "tensor/memory.h"

namespace linnet {
namespace {

constexpr double kTolerance = 1e-5;  // of a mean

std::vector<int> WithStart(const std::string& text) {
  std::vector<int> tokens = {Tokenizer::kEndOfText};
  for (unsigned char byte : text) tokens.push_back(byte);
  return tokens;
}

double NaiveSum(const LoadedModel& model, const std::vector<int>& tokens) {
  double sum = 0;
  for (const NaiveScore& score : NaiveScores(model, tokens)) sum += score.loss;
  return sum;
}

TextLoss Loss(const LoadedModel& model, const std::vector<std::string_view>& texts,
              const WindowOptions& options) {
  return LossOfTexts(model, BytesTokenizer(), texts, options);
}

TEST(LossOfTexts, IsThatOfOneForwardPass) {
  const LoadedModel model = TinyModel();
  const std::string text = RandomText(1300, 3);
  const TextLoss loss = Loss(model, {text}, {});
  EXPECT_EQ(loss.tokens, 1300);
  EXPECT_EQ(loss.bytes, 1300);
  const double naive = NaiveSum(model, WithStart(text)) / 1300;
  EXPECT_NEAR(loss.loss(), naive, kTolerance);
  EXPECT_NEAR(loss.perplexity(), std::exp(naive), 1e-4 * std::exp(naive));
  EXPECT_NEAR(loss.bits_per_byte(), naive / std::log(2), kTolerance);
}

TEST(LossOfTexts, DocumentsDoNotKnowEachOther) {
  const LoadedModel model = TinyModel();
  const std::string a = RandomText(700, 1), b = RandomText(3, 2), c = RandomText(90, 3);
  const double naive =
      NaiveSum(model, WithStart(a)) + NaiveSum(model, WithStart(b)) + NaiveSum(model, WithStart(c));
  const TextLoss loss = Loss(model, {a, "", b, c}, {});
  EXPECT_EQ(loss.tokens, 793);
  EXPECT_NEAR(loss.loss(), naive / 793, kTolerance);
}

TEST(LossOfTexts, AWindowBeginsAnew) {
  const LoadedModel model = TinyModel();
  const std::string text = RandomText(250, 4);
  double naive = 0;
  for (size_t at = 0; at < text.size(); at += 64) naive += NaiveSum(model, WithStart(text.substr(at, 64)));
  const TextLoss loss = Loss(model, {text}, {.window = 64});
  EXPECT_EQ(loss.tokens, 250);
  EXPECT_NEAR(loss.loss(), naive / 250, kTolerance);
  EXPECT_GT(std::abs(Loss(model, {text}, {}).loss() - loss.loss()), 100 * kTolerance);
}

TEST(LossOfTexts, WithoutTheStartTokenAWindowBeginsWithTheTokenBefore) {
  const LoadedModel model = TinyModel();
  const std::string text = RandomText(130, 5);
  const BytesTokenizer tokenizer;
  double naive = 0;
  for (size_t at = 0; at + 1 < text.size(); at += 64) {
    naive += NaiveSum(model, tokenizer.Encode(std::string_view(text).substr(at, 65)));
  }
  const TextLoss loss = Loss(model, {text}, {.window = 64, .start_token = false});
  EXPECT_EQ(loss.tokens, 129);
  EXPECT_EQ(loss.bytes, 129);
  EXPECT_NEAR(loss.loss(), naive / 129, kTolerance);
  EXPECT_THROW(Loss(model, {"a"}, {.window = 0, .start_token = false}), Error);
}

TEST(LossOfTexts, NothingToPredictIsAnError) {
  const LoadedModel model = TinyModel();
  EXPECT_THROW(Loss(model, {}, {}), Error);
  EXPECT_THROW(Loss(model, {"", ""}, {}), Error);
  EXPECT_THROW(Loss(model, {"abc"}, {.window = -1}), Error);
}

TEST(LossOfTexts, MemoryDoesNotGrowWithTheText) {
  const LoadedModel model = TinyModel();
  const auto peak = [&](size_t length) {
    const std::string text = RandomText(length, 6);
    ResetHostMemoryPeak();
    Loss(model, {text}, {});
    return HostMemoryUse().peak_bytes;
  };
  const size_t once = peak(4000);
  EXPECT_EQ(peak(16000), once);
}

TEST(LossOfTexts, SaysHowFarItIs) {
  const LoadedModel model = TinyModel();
  const std::string text = RandomText(1000, 7);
  int64_t last = 0, all = 0;
  LossOfTexts(model, BytesTokenizer(), std::vector<std::string_view>{text, text}, {},
              [&](int64_t done, int64_t total) {
                EXPECT_GT(done, last);
                last = done, all = total;
              });
  EXPECT_EQ(all, 2000);
  EXPECT_GE(last, 1500);
}

TEST(LossByPosition, IsTheMeanOverWholeWindows) {
  const LoadedModel model = TinyModel();
  const std::string text = RandomText(210, 8);  // three windows, and a part of one that does not count
  std::vector<double> naive(64, 0);
  for (size_t window = 0; window < 3; ++window) {
    const auto scores = NaiveScores(model, WithStart(text.substr(window * 64, 64)));
    for (size_t i = 0; i < 64; ++i) naive[i] += scores[i].loss;
  }
  const std::vector<std::string_view> texts = {text, "short"};
  int64_t next = 1;
  for (const PositionLoss& step : LossByPosition(model, BytesTokenizer(), texts, 64)) {
    EXPECT_EQ(step.first, next);
    EXPECT_EQ(step.tokens, 3 * (step.last - step.first + 1));
    double sum = 0;
    for (int64_t i = step.first; i <= step.last; ++i) sum += naive[static_cast<size_t>(i) - 1];
    EXPECT_NEAR(step.sum, sum, 1e-3);
    next = step.last + 1;
  }
  EXPECT_EQ(next, 65);
  EXPECT_EQ(LossByPosition(model, BytesTokenizer(), texts, 1).size(), 1u);
  EXPECT_THROW(LossByPosition(model, BytesTokenizer(), texts, 211), Error);
}

TEST(LossOfCompletions, CountsAsLambadaDoes) {
  const LoadedModel model = TinyModel();
  const BytesTokenizer tokenizer;
  std::vector<Completion> examples;
  double sum = 0;
  int64_t right = 0, tokens = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    const std::string context = RandomText(i * i, i), target = " " + RandomText(1 + i % 3, i + 50);
    examples.push_back({tokenizer.Encode(context), tokenizer.Encode(target)});
    const size_t count = examples.back().target.size();
    std::vector<int> all = WithStart(context);
    all.insert(all.end(), examples.back().target.begin(), examples.back().target.end());
    const auto naive = NaiveScores(model, all);
    bool likeliest = true;
    for (size_t k = naive.size() - count; k < naive.size(); ++k) {
      sum += naive[k].loss;
      likeliest = likeliest && naive[k].likeliest;
    }
    right += likeliest;
    tokens += static_cast<int64_t>(count);
  }
  const CompletionLoss loss = LossOfCompletions(model, examples);
  EXPECT_EQ(loss.examples, 40);
  EXPECT_EQ(loss.tokens, tokens);
  EXPECT_EQ(loss.right, right);
  EXPECT_NEAR(loss.loss(), sum / 40, kTolerance);
  EXPECT_NEAR(loss.perplexity(), std::exp(sum / 40), 1e-4 * std::exp(sum / 40));
}

TEST(LossOfCompletions, ATargetIsRightIfAllOfItIsLikeliest) {
  const LoadedModel model = TinyModel();
  // What the model itself would say, token by token.
  std::vector<int> said = {Tokenizer::kEndOfText, 'a', 'b'};
  for (int i = 0; i < 3; ++i) {
    Batch batch;
    batch.Append(said, 0);
    const Tensor logits = model.model->Forward(batch, model.NewState(1));
    const float* row = logits.data() + logits.size() - 256;
    said.push_back(static_cast<int>(std::max_element(row, row + 256) - row));
  }
  const std::vector<int> target(said.begin() + 3, said.end());
  EXPECT_EQ(LossOfCompletions(model, std::vector<Completion>{{{'a', 'b'}, target}}).right, 1);
  for (size_t wrong = 0; wrong < target.size(); ++wrong) {
    std::vector<int> other = target;
    other[wrong] ^= 1;
    const std::vector<Completion> both = {{{'a', 'b'}, other}, {{'a', 'b'}, target}};
    EXPECT_EQ(LossOfCompletions(model, both).right, 1) << wrong;
  }
  EXPECT_THROW(LossOfCompletions(model, {}), Error);
}

TEST(StandardErrors, OfAShare) {
  EXPECT_DOUBLE_EQ(StandardError(0.5, 100), 0.05);
  EXPECT_DOUBLE_EQ(StandardError(1, 100), 0);
}

}  // namespace
}  // namespace linnet
