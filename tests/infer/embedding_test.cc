#include "infer/embedding.h"

#include <gtest/gtest.h>

#include "infer/naive_scores.h"

namespace linnet {
namespace {

std::vector<Embedding> Embed(const LoadedModel& model, const std::vector<std::string>& texts,
                             Pooling pooling) {
  std::vector<Embedding> embeddings;
  size_t given = 0;
  EmbedTexts(
      model, BytesTokenizer(), pooling,
      [&](std::string& text) {
        if (given == texts.size()) return false;
        text = texts[given++];
        return true;
      },
      [&](int64_t index, Embedding embedding) {
        EXPECT_EQ(index, static_cast<int64_t>(embeddings.size()));
        embeddings.push_back(std::move(embedding));
      });
  return embeddings;
}

TEST(EmbedTexts, AreHiddenStatesOfOneForwardPass) {
  const LoadedModel model = TinyModel();
  const std::vector<std::string> texts = {"finch", "", RandomText(1200, 1), "a", RandomText(500, 2)};
  const auto mean = Embed(model, texts, Pooling::kMean), last = Embed(model, texts, Pooling::kLast);
  ASSERT_EQ(mean.size(), texts.size());
  ASSERT_EQ(last.size(), texts.size());
  for (size_t t = 0; t < texts.size(); ++t) {
    std::vector<int> tokens = {0};
    for (unsigned char byte : texts[t]) tokens.push_back(byte);
    Batch batch;
    batch.Append(tokens, 0);
    const Tensor hidden = model.model->Hidden(batch, model.NewState(1));
    const size_t rows = tokens.size(), first = texts[t].empty() ? 0 : 1;
    EXPECT_EQ(mean[t].tokens, static_cast<int64_t>(texts[t].size()));
    for (size_t c = 0; c < 32; ++c) {
      double sum = 0;
      for (size_t row = first; row < rows; ++row) sum += hidden.data()[row * 32 + c];
      EXPECT_NEAR(mean[t].values[c], sum / static_cast<double>(rows - first), 2e-5) << t;
      EXPECT_NEAR(last[t].values[c], hidden.data()[(rows - 1) * 32 + c], 2e-5) << t;
    }
  }
}

TEST(Vectors, LengthAndAngle) {
  std::vector<float> v = {3, 4};
  Normalize(v);
  EXPECT_FLOAT_EQ(v[0], 0.6f);
  EXPECT_FLOAT_EQ(v[1], 0.8f);
  std::vector<float> zero = {0, 0};
  Normalize(zero);
  EXPECT_EQ(zero, (std::vector<float>{0, 0}));
  EXPECT_DOUBLE_EQ(Cosine(std::vector<float>{1, 0}, std::vector<float>{5, 0}), 1);
  EXPECT_DOUBLE_EQ(Cosine(std::vector<float>{1, 0}, std::vector<float>{0, 2}), 0);
  EXPECT_DOUBLE_EQ(Cosine(zero, v), 0);
  EXPECT_THROW(Cosine(zero, std::vector<float>{1}), Error);
}

}  // namespace
}  // namespace linnet
