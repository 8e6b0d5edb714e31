// Probabilities that the samplers of the `rwkv` Python package and of the RWKV-7 demonstration programs hand
// to the draw, and the logits that the package's penalties leave (golden data, part D).
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "golden/golden.h"
#include "infer/sampler.h"

namespace linnet {
namespace {

using nlohmann::json;

json Golden() { return json::parse(ReadFile(golden::Folder() / "D_sampling" / "sampling.json")); }

std::vector<float> Logits(const json& values) {
  std::vector<float> logits;
  for (const json& value : values) {  // null is -infinity: a banned token
    logits.push_back(value.is_null() ? -std::numeric_limits<float>::infinity() : value.get<float>());
  }
  return logits;
}

void CheckCase(const json& golden, size_t index, bool exact_top_p) {
  const SamplerOptions options{.temperature = golden.at("temperature"),
                               .top_p = golden.at("top_p"),
                               .top_k = golden.at("top_k"),
                               .exact_top_p = exact_top_p};
  // The demonstrations have no greedy case: temperature 0 would divide by it.
  if (exact_top_p && !golden.contains("v7demo_probs")) return;
  const std::vector<float> actual = SamplingProbabilities(Logits(golden.at("logits")), options);
  const json& expected = golden.at(exact_top_p ? "v7demo_probs" : "pip_probs");
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i].get<double>(), 2e-6)
        << "case " << index << ", token " << i << ": temperature " << options.temperature << ", top_p "
        << options.top_p << ", top_k " << options.top_k << ", exact " << exact_top_p;
  }
}

TEST(GoldenSampling, ProbabilitiesAreThoseOfTheReference) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const json golden = Golden();
  const json& cases = golden.at("cases");
  for (size_t i = 0; i < cases.size(); ++i) {
    CheckCase(cases[i], i, false);
    CheckCase(cases[i], i, true);
  }
  EXPECT_GE(cases.size(), 100u);
}

/// The 14 tokens of the traces' toy model.
class ToyTokenizer : public Tokenizer {
 public:
  explicit ToyTokenizer(std::vector<std::string> texts) : texts_(std::move(texts)) {}
  std::string name() const override { return "toy"; }
  int vocab() const override { return static_cast<int>(texts_.size()); }
  size_t EncodeSome(std::string_view bytes, bool, std::vector<int>&) const override { return bytes.size(); }
  std::string Decode(std::span<const int> ids) const override {
    std::string text;
    for (const int id : ids) text += texts_.at(id);
    return text;
  }

 private:
  std::vector<std::string> texts_;
};

void CheckTrace(const json& trace, const json& logit_rows, const Tokenizer& tokenizer) {
  const json& config = trace.at("config");
  SamplerOptions options{.presence_penalty = config.at("alpha_presence"),
                         .frequency_penalty = config.at("alpha_frequency"),
                         .penalty_decay = config.at("alpha_decay")};
  for (const int banned : config.at("token_ban"))
    options.bias[banned] = -std::numeric_limits<float>::infinity();
  SequenceSampler sampler(options, 1, &tokenizer);
  for (const json& step : trace.at("steps")) {
    const std::vector<float> logits = Logits(logit_rows.at(step.at("input_token").get<size_t>()));
    const auto adjusted = sampler.Adjust(logits);
    const std::vector<float> expected = Logits(step.at("adjusted_logits"));
    ASSERT_EQ(adjusted.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      if (adjusted[i] != expected[i]) {  // equal infinities have no difference
        EXPECT_NEAR(adjusted[i], expected[i], 1e-6) << "token " << i;
      }
    }
    const auto best = std::max_element(adjusted.begin(), adjusted.end()) - adjusted.begin();
    EXPECT_EQ(best, step.at("argmax_token").get<int>());
    sampler.Accept(step.at("argmax_token"));
  }
}

TEST(GoldenSampling, PenaltiesAreThoseOfTheReference) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const json penalty = Golden().at("penalty");
  const ToyTokenizer tokenizer(penalty.at("token_texts").get<std::vector<std::string>>());
  for (const json& trace : penalty.at("traces"))
    CheckTrace(trace, penalty.at("logit_rows_by_last_token"), tokenizer);
  EXPECT_GE(penalty.at("traces").size(), 3u);
}

}  // namespace
}  // namespace linnet
