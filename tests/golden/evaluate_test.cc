// The loss of the golden texts, from the reference's logits and by the scoring of texts.
#include "infer/evaluate.h"

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "golden/golden.h"

namespace linnet {
namespace {

/// Mean of -log softmax(row i)[token i + 1].
double MeanLoss(const std::vector<double>& logits, const std::vector<int>& tokens) {
  const size_t vocab = logits.size() / tokens.size();
  double sum = 0;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    double total = 0;
    for (size_t id = 0; id < vocab; ++id) total += std::exp(logits[i * vocab + id]);
    sum += std::log(total) - logits[i * vocab + static_cast<size_t>(tokens[i + 1])];
  }
  return sum / static_cast<double>(tokens.size() - 1);
}

TEST(GoldenEvaluate, TheLossIsThatOfTheReference) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  int cases = 0;
  for (const auto& folder : golden::Cases("A_inference")) {
    if (!exists(folder / "info.json")) continue;
    const auto info = nlohmann::json::parse(ReadFile(folder / "info.json"));
    if (!golden::Runs(info.at("version")) || info.at("vocab") != 256) continue;  // bytes are the tokens
    const std::vector<int> tokens = info.at("tokens");
    std::string text;
    for (int token : tokens) text += static_cast<char>(token);
    const auto expected = Checkpoint::Open(folder / "expected.safetensors");
    for (const auto& [file, tag] : golden::WeightFiles(folder)) {
      SCOPED_TRACE(file.string());
      const double truth = MeanLoss(golden::Values(*expected, tag + ".logits_f64"), tokens);
      const LoadedModel model = LoadModel(file, MatrixType::kF32);
      const std::vector<std::string_view> texts = {text};
      const TextLoss loss = LossOfTexts(model, BytesTokenizer(), texts, {.start_token = false});
      EXPECT_EQ(loss.tokens, static_cast<int64_t>(tokens.size()) - 1);
      EXPECT_NEAR(loss.loss(), truth, 2e-6 * truth);
      ++cases;
    }
  }
  EXPECT_GE(cases, 1);
}

}  // namespace
}  // namespace linnet
