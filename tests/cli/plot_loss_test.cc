// linnet plot loss: several runs in one picture.
#include <nlohmann/json.hpp>

#include "cli/program.h"

namespace linnet {
namespace {

using nlohmann::json;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class PlotLoss : public testing::Test {
 protected:
  /// A run of `steps` steps whose loss falls from `start` to 1, held out measured every tenth.
  std::string WriteRun(const std::string& name, int steps, double start,
                       const std::string& training = "") const {
    std::string log;
    for (int step = 0; step < steps; ++step) {
      const double loss = start + (1 - start) * step / (steps - 1);
      const json line = {{"step", step},
                         {"loss", loss},
                         {"val_loss", step % 10 == 9 ? json(loss + 0.25) : json()},
                         {"lr", 1e-3},
                         {"grad_norm", 1},
                         {"tokens_per_s", 10},
                         {"seconds", 2.0 * step},
                         {"skipped", false}};
      log += line.dump() + "\n";
    }
    std::filesystem::create_directories(folder_ / name);
    WriteFile(folder_ / name / "log.jsonl", log);
    if (!training.empty()) {
      WriteSafetensors(folder_ / name / "model.safetensors", {{"w", Tensor::Zeros({1})}},
                       {{"training", training}});
    }
    return folder_ / name;
  }
  TemporaryFolder folder_;
};

TEST_F(PlotLoss, SeveralRunsInOnePicture) {
  const std::string a = WriteRun("first", 40, 5), b = WriteRun("second", 100, 4);
  const Outcome outcome = RunLinnet({"plot", "loss", a, b + "/log.jsonl", "-o", folder_ / "l.svg", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json runs = json::parse(outcome.out)["runs"];
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0]["run"], "first");
  EXPECT_EQ(runs[0]["steps"], 40);
  EXPECT_EQ(runs[0]["loss"], 1.0);
  EXPECT_EQ(runs[0]["val_loss"], 1.25);
  EXPECT_EQ(runs[1]["best_val_loss"], 1.25);
  EXPECT_NEAR(runs[1]["loss"].get<double>(), 1 + 0.5 * 3 / 99, 1e-9);  // of the last two
  const std::string svg = ReadFile(folder_ / "l.svg");
  EXPECT_EQ(Count(svg, ">first</text>"), 1u);
  EXPECT_EQ(Count(svg, ">second</text>"), 1u);
  EXPECT_EQ(Count(svg, "<circle"), 2u * (4 + 10));  // a ring each
  EXPECT_EQ(Count(svg, "stroke-linejoin"), 6u);     // pale, smooth, held out
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST_F(PlotLoss, TableAndTerminal) {
  const std::string a = WriteRun("run", 40, 5);
  const Outcome outcome = RunLinnet({"plot", "loss", a, "--bits"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"Loss of run", "bits per token", "1.4427", "1.8034"}) {
    EXPECT_NE(outcome.out.find(part), std::string::npos) << part << " is not in\n" << outcome.out;
  }
}

TEST_F(PlotLoss, OverTokensAndSeconds) {
  const std::string a = WriteRun("run", 40, 5, R"({"ctx": 100, "batch": 5, "accumulate": 2})");
  for (const auto& [x, last] : {std::pair{"tokens", ">40000<"}, {"seconds", ">70<"}}) {
    ASSERT_EQ(RunLinnet({"plot", "loss", a, "--x", x, "-o", folder_ / "l.svg"}).code, 0);
    const std::string svg = ReadFile(folder_ / "l.svg");
    EXPECT_EQ(Count(svg, fmt::format(">{}<", x)), 1u);
    EXPECT_EQ(Count(svg, last), 1u) << svg;
  }
}

TEST_F(PlotLoss, AsPng) {
  const std::string a = WriteRun("run", 40, 5), b = WriteRun("other", 40, 3);
  ASSERT_EQ(RunLinnet({"plot", "loss", a, b, "-o", folder_ / "l.png"}).code, 0);
  const std::string png = ReadFile(folder_ / "l.png");
  EXPECT_TRUE(png.starts_with("\x89PNG"));
  EXPECT_EQ(png.substr(16, 8), std::string("\0\0\x06\xb8\0\0\x03\xc0", 8));  // 1720 x 960
  EXPECT_GT(png.size(), 5000u);
  EXPECT_LT(png.size(), 400000u);
}

TEST_F(PlotLoss, WhatCannotBeDrawnIsRefused) {
  const std::string a = WriteRun("run", 40, 5);
  EXPECT_TRUE(FailsWith({"plot", "loss", folder_ / "none"}, {"none", "log.jsonl"}));
  WriteFile(folder_ / "text", "no log\n");
  EXPECT_TRUE(FailsWith({"plot", "loss", folder_ / "text"}, {"text", "no step"}));
  EXPECT_TRUE(FailsWith({"plot", "loss", a, "--x", "tokens"}, {"model.safetensors", "--x steps"}));
  EXPECT_TRUE(FailsWith({"plot", "loss", a, "-o", folder_ / "l.gif"}, {".svg", ".png", "l.gif"}));
  EXPECT_TRUE(FailsWith({"plot", "loss", a, "--x", "years"}, {"years"}));
}

}  // namespace
}  // namespace linnet
