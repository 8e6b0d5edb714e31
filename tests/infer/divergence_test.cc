#include "infer/divergence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/refusal.h"

namespace linnet {
namespace {

/// Random output matrices, so that predictions depend on the text; `change` is added to one weight of the
/// head.
LoadedModel TinyModel(float change = 0) {
  const Architecture& architecture = FindArchitecture("rwkv7");
  LoadedModel model = NewModel(
      architecture,
      architecture.complete_sizes({{"layers", 2}, {"width", 32}, {"head_size", 16}, {"vocab", 20}}), 1);
  Random random(2);
  for (const Parameter& parameter : model.params->parameters()) {
    if (parameter.role != Role::kMatrix) continue;
    for (Dim i = 0; i < parameter.tensor.size(); ++i) {
      parameter.tensor.data()[i] = static_cast<float>(0.3 * random.Normal());
    }
  }
  model.model->head().data()[3 * 32 + 5] += change;
  return model;
}

std::vector<int> Tokens(size_t count) {
  std::vector<int> tokens;
  Random random(3);
  for (size_t i = 0; i < count; ++i) tokens.push_back(static_cast<int>(random.Below(20)));
  return tokens;
}

/// The logits after every token, from one pass.
std::vector<std::vector<double>> Logits(const LoadedModel& model, const std::vector<int>& tokens) {
  Batch batch;
  batch.Append(tokens, 0);
  const Tensor logits = model.model->Forward(batch, model.NewState(1));
  std::vector<std::vector<double>> rows;
  for (size_t i = 0; i < tokens.size(); ++i) {
    rows.emplace_back(logits.data() + i * 20, logits.data() + (i + 1) * 20);
  }
  return rows;
}

std::vector<double> Softmax(const std::vector<double>& logits) {
  double sum = 0;
  for (double x : logits) sum += std::exp(x);
  std::vector<double> p;
  for (double x : logits) p.push_back(std::exp(x) / sum);
  return p;
}

TEST(Divergence, OfAModelFromItselfIsExactlyZero) {
  const LoadedModel model = TinyModel();
  const Divergence same = CompareModels(model, model, Tokens(300));
  EXPECT_EQ(same.tokens, 299);
  EXPECT_EQ(same.mean_kl, 0);
  EXPECT_EQ(same.largest_kl, 0);
  EXPECT_EQ(same.change_percent(), 0);
  EXPECT_EQ(same.same_top, 1);
}

TEST(Divergence, IsWhatItsFormulaSays) {
  const LoadedModel model = TinyModel(), copy = TinyModel(0.5f);
  const std::vector<int> tokens = Tokens(200);  // two chunks: the state is carried from one to the next
  const auto p_rows = Logits(model, tokens), q_rows = Logits(copy, tokens);
  double kl = 0, largest = 0, model_loss = 0, copy_loss = 0, same = 0;
  for (size_t t = 0; t + 1 < tokens.size(); ++t) {
    const auto p = Softmax(p_rows[t]), q = Softmax(q_rows[t]);
    double row = 0;
    for (size_t i = 0; i < p.size(); ++i) row += p[i] * std::log(p[i] / q[i]);
    kl += row;
    largest = std::max(largest, row);
    model_loss -= std::log(p[tokens[t + 1]]);
    copy_loss -= std::log(q[tokens[t + 1]]);
    same += std::ranges::max_element(p) - p.begin() == std::ranges::max_element(q) - q.begin();
  }
  const double count = static_cast<double>(tokens.size()) - 1;
  const Divergence found = CompareModels(model, copy, tokens);
  ASSERT_GT(kl, 0);
  EXPECT_NEAR(found.mean_kl, kl / count, 1e-5 * kl / count);
  EXPECT_NEAR(found.largest_kl, largest, 1e-5 * largest);
  EXPECT_NEAR(found.model_perplexity, std::exp(model_loss / count), 1e-4);
  EXPECT_NEAR(found.copy_perplexity, std::exp(copy_loss / count), 1e-4);
  EXPECT_NEAR(found.same_top, same / count, 1e-12);
}

TEST(Divergence, NeedsTwoTokens) {
  const LoadedModel model = TinyModel();
  EXPECT_TRUE(Refuses([&] { CompareModels(model, model, Tokens(1)); }, "needs at least two tokens"));
}

}  // namespace
}  // namespace linnet
