// The golden inference cases through the program, as somebody would who checks it from outside: `linnet
// logits --json` on every model file, and greedy text by `linnet generate`.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "golden/golden.h"

namespace linnet {
namespace {

using nlohmann::json;

/// Logits may be off by this much of their standard deviation.
constexpr double kTolerance = 2e-5;

/// A weight file, and what is known of its output.
struct Case {
  std::filesystem::path file;
  std::string tag;  // "fp32", "bf16"
  json info;        // of its folder
};

/// "1,2,3"
std::string Joined(const std::vector<int>& ids) {
  std::string list;
  for (int id : ids) list += fmt::format("{}{}", list.empty() ? "" : ",", id);
  return list;
}

/// Every weight file of the folders whose version this program runs; names the others.
std::vector<Case> RunnableCases() {
  std::vector<Case> cases;
  for (const auto& folder : golden::Cases("A_inference")) {
    const json info =
        exists(folder / "info.json") ? json::parse(ReadFile(folder / "info.json")) : json::object();
    const std::string version = info.value("version", "unknown");
    if (!golden::Runs(version)) {
      fmt::print("skipped: {} (version {})\n", folder.filename().string(), version);
      continue;
    }
    for (const auto& [file, tag] : golden::WeightFiles(folder)) cases.push_back({file, tag, info});
  }
  return cases;
}

TEST(GoldenProgram, LogitsAreThoseOfTheReference) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const std::vector<Case> cases = RunnableCases();
  for (const Case& c : cases) {
    SCOPED_TRACE(c.file.string());
    const std::vector<int> tokens = c.info.at("tokens");
    const Outcome outcome =
        RunLinnet({"logits", c.file, "--tokens", Joined(tokens), "--all", "--json", "--precision", "fp32"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    const json output = json::parse(outcome.out);
    EXPECT_EQ(output.at("tokens"), c.info.at("tokens"));
    EXPECT_EQ(output.at("vocab"), c.info.at("vocab"));
    const auto expected = Checkpoint::Open(c.file.parent_path() / "expected.safetensors");
    const std::vector<double> truth = golden::Values(*expected, c.tag + ".logits_f64");
    std::vector<double> actual;
    for (const json& row : output.at("logits")) {
      for (const json& value : row) actual.push_back(value.get<double>());
    }
    ASSERT_EQ(actual.size(), truth.size());
    double largest = 0;
    for (size_t i = 0; i < truth.size(); ++i) largest = std::max(largest, std::abs(actual[i] - truth[i]));
    const double error = largest / golden::StandardDeviation(truth);
    fmt::print("{}: largest error {:.2g} of the standard deviation\n", c.file.filename().string(), error);
    EXPECT_LE(error, kTolerance);
  }
  EXPECT_FALSE(cases.empty());
}

TEST(GoldenProgram, GreedyTextIsThatOfTheReference) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const TemporaryFolder folder;
  for (const Case& c : RunnableCases()) {
    SCOPED_TRACE(c.file.string());
    if (c.info.at("vocab") != 256) continue;
    std::string prompt, greedy;
    for (int token : c.info.at("tokens")) prompt += static_cast<char>(token);
    for (int token : c.info.at(c.tag).at("greedy16")) greedy += static_cast<char>(token);
    WriteFile(folder / "prompt", prompt);
    const Outcome outcome = RunLinnet({"generate", c.file, "--prompt-file", folder / "prompt", "-n", "16",
                                       "--temperature", "0", "--past-end", "--precision", "fp32"});
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(testing::PrintToString(outcome.out), testing::PrintToString(greedy));
  }
}

}  // namespace
}  // namespace linnet
