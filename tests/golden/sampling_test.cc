// Probabilities that the samplers of the `rwkv` Python package hand to the draw (golden data, part D).
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

std::vector<float> Logits(const json& values) {
  std::vector<float> logits;
  for (const json& value : values) {  // null is -infinity: a banned token
    logits.push_back(value.is_null() ? -std::numeric_limits<float>::infinity() : value.get<float>());
  }
  return logits;
}

void CheckCase(const json& golden, size_t index) {
  const SamplerOptions options{
      .temperature = golden.at("temperature"), .top_p = golden.at("top_p"), .top_k = golden.at("top_k")};
  const std::vector<float> actual = SamplingProbabilities(Logits(golden.at("logits")), options);
  const json& expected = golden.at("pip_probs");
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i].get<double>(), 2e-6)
        << "case " << index << ", token " << i << ": temperature " << options.temperature << ", top_p "
        << options.top_p << ", top_k " << options.top_k;
  }
}

TEST(GoldenSampling, ProbabilitiesAreThoseOfTheReference) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const json golden = json::parse(ReadFile(golden::Folder() / "D_sampling" / "sampling.json"));
  const json& cases = golden.at("cases");
  for (size_t i = 0; i < cases.size(); ++i) CheckCase(cases[i], i);
  EXPECT_GE(cases.size(), 100u);
  for (const auto& [name, part] : golden.items()) {
    if (name != "cases" && name != "note") fmt::print("skipped: {}\n", name);
  }
  fmt::print("skipped: v7demo_probs of every case (another sampler)\n");
}

}  // namespace
}  // namespace linnet
