// Models of other families that others trained: an LSTM of char-rnn's kind, as recurrentjs publishes it.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "golden/golden.h"
#include "nn/model.h"
#include "ops/ops.h"

namespace linnet {
namespace {

using nlohmann::json;

std::filesystem::path Published(const std::string& name) {
  return golden::Folder().parent_path() / "data" / "models" / name;
}

class CharRnn : public testing::Test {
 protected:
  void SetUp() override {
    const auto file = Published("charrnn-lstm-PaulGraham128.safetensors");
    if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
    model_ = LoadModel(file);
    golden_ = json::parse(ReadFile(Published("charrnn-lstm-PaulGraham128.golden.json").string()));
    for (int i = 0; i < model_.vocab(); ++i) {
      const auto found = golden_["index_to_char"].find(std::to_string(i));
      if (found != golden_["index_to_char"].end()) letters_.push_back(found->get<std::string>());
    }
  }

  Tensor Logits(const State& state, const std::vector<int>& tokens) const {
    Batch batch;
    batch.Append(tokens, 0);
    return model_.model->Forward(batch, state);
  }

  int IdOf(char letter) const {
    return static_cast<int>(std::ranges::find(letters_, std::string(1, letter)) - letters_.begin());
  }

  /// The likeliest continuation after some tokens, as many letters as `like` has in all.
  std::string Greedy(std::vector<int> tokens, std::string text, size_t length) const {
    const State state = model_.NewState(1);
    while (text.size() < length) {
      const Tensor logits = Logits(state, tokens);
      const float* last = logits.data() + (logits.dim(0) - 1) * model_.vocab();
      const int best = static_cast<int>(std::max_element(last, last + model_.vocab()) - last);
      text += letters_[best];
      tokens = {best};
    }
    return text;
  }

  LoadedModel model_;
  json golden_;
  std::vector<std::string> letters_;
};

TEST_F(CharRnn, IsRecognisedByItsNames) {
  EXPECT_EQ(model_.architecture->name, "lstm");
  EXPECT_EQ(model_.sizes, (Sizes{{"layers", 2}, {"width", 128}, {"input", 51}, {"vocab", 51}}));
}

TEST_F(CharRnn, LogitsAreTheirs) {
  const auto tokens = golden_["input_tokens"].get<std::vector<int>>();
  std::vector<double> expected;
  for (const json& row : golden_["logits"]) {
    for (double value : row) expected.push_back(value);
  }
  const Tensor logits = Logits(model_.NewState(1), tokens);
  ASSERT_EQ(static_cast<size_t>(logits.size()), expected.size());
  const double scale = golden::StandardDeviation(expected);
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(logits.data()[i], expected[i], 2e-5 * scale) << "row " << i / 51 << ", letter " << i % 51;
  }
}

TEST_F(CharRnn, LikeliestTextsAreTheirs) {
  const auto from_start = golden_["greedy_from_start"].get<std::string>();
  EXPECT_EQ(Greedy({golden_["start_token"].get<int>()}, "", from_start.size()), from_start);
  const auto from_prompt = golden_["greedy_from_prompt"].get<std::string>();
  EXPECT_EQ(Greedy(golden_["input_tokens"].get<std::vector<int>>(), golden_["prompt"].get<std::string>(),
                   from_prompt.size()),
            from_prompt);
}

TEST_F(CharRnn, LossOfATextIsTheirs) {
  std::vector<int> tokens{golden_["start_token"].get<int>()}, targets;
  for (char letter : golden_["nats_per_char_text"].get<std::string>()) {
    tokens.push_back(IdOf(letter));
    targets.push_back(IdOf(letter));
  }
  tokens.pop_back();
  Batch batch;
  batch.Append(tokens, 0);
  const Tensor hidden = model_.model->Hidden(batch, model_.NewState(1));
  const Tensor loss =
      ops::CrossEntropy(hidden, model_.model->head(), targets, {.bias = model_.model->head_bias()});
  EXPECT_NEAR(loss.data()[0], golden_["nats_per_char"].get<double>(), 1e-5);
}

}  // namespace
}  // namespace linnet
