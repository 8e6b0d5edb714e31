// linnet plot: what the curves show, as JSON and as SVG.
#include <algorithm>
#include <cmath>
#include <complex>
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

Tensor Values(const std::vector<float>& values, const Shape& shape) {
  const Tensor tensor = Tensor::Empty(shape);
  std::copy(values.begin(), values.end(), tensor.data());
  return tensor;
}

class PlotCommand : public testing::Test {
 protected:
  json Json(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "plot");
    arguments.push_back("--json");
    const Outcome outcome = RunLinnet(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  TemporaryFolder folder_;
};

TEST_F(PlotCommand, EigenvaluesAreThoseOfTheFormulas) {
  const std::string lru = folder_ / "lru.safetensors", s5 = folder_ / "s5.safetensors";
  WriteSafetensors(lru,
                   {{"blocks.0.lru.nu_log", Values({-3, -5}, {2})},
                    {"blocks.0.lru.theta_log", Values({-1, 1}, {2})},
                    {"blocks.1.lru.nu_log", Values({0}, {1})},
                    {"blocks.1.lru.theta_log", Values({0}, {1})}},
                   {});
  const json layers = Json({"eigenvalues", lru, "-o", folder_ / "e.svg"}).at("layers");
  ASSERT_EQ(layers.size(), 2u);
  const auto expect = [](const json& value, double size, double angle) {
    EXPECT_NEAR(value[0].get<double>(), size * std::cos(angle), 1e-6);
    EXPECT_NEAR(value[1].get<double>(), size * std::sin(angle), 1e-6);
  };
  expect(layers[0][0], std::exp(-std::exp(-3)), std::exp(-1));
  expect(layers[0][1], std::exp(-std::exp(-5)), std::exp(1));
  expect(layers[1][0], std::exp(-1), 1);
  EXPECT_EQ(Count(ReadFile(folder_ / "e.svg"), "<circle"), 3u);
  WriteSafetensors(s5,
                   {{"blocks.0.s5.Lambda_re", Values({-1}, {1})},
                    {"blocks.0.s5.Lambda_im", Values({2}, {1})},
                    {"blocks.0.s5.log_step", Values({-2}, {1})}},
                   {});
  expect(Json({"eigenvalues", s5}).at("layers")[0][0], std::exp(-std::exp(-3)), 2 * std::exp(-2));
  EXPECT_TRUE(FailsWith({"plot", "eigenvalues", WriteTinyModel(folder_ / "m.safetensors")},
                        {"no eigenvalues", "lru"}));
}

// An S4 of so few bytes that modes times features are far more.
TEST_F(PlotCommand, AStateSpaceWhoseSizesDoNotFitIsRefused) {
  const std::string file = folder_ / "x.safetensors";
  const auto numbers = [](Dim count) { return Tensor::Zeros({count}); };
  WriteSafetensors(file,
                   {{"blocks.0.s4.A_re", numbers(1000)},
                    {"blocks.0.s4.A_im", numbers(1000)},
                    {"blocks.0.s4.P", numbers(2000)},
                    {"blocks.0.s4.B", numbers(2000)},
                    {"blocks.0.s4.log_dt", numbers(1000)},
                    {"blocks.0.s4.C", numbers(8)}},
                   {});
  for (const char* kind : {"eigenvalues", "kernel"}) {
    EXPECT_TRUE(FailsWith({"plot", kind, file}, {"x.safetensors", "blocks.0.s4.C", "8 numbers"}));
  }
  WriteSafetensors(file, {{"blocks.0.s4.A_re", numbers(1)}}, {});
  EXPECT_TRUE(FailsWith({"plot", "eigenvalues", file}, {"blocks.0.s4.A_im is missing"}));
  WriteSafetensors(file, {{"blocks.0.s4d.A_re", Tensor::Zeros({2, 3})}, {"blocks.0.s4d.log_dt", numbers(0)}},
                   {});
  EXPECT_TRUE(FailsWith({"plot", "eigenvalues", file}, {"blocks.0.s4d.log_dt is empty"}));
}

std::string NewModelFile(const std::string& path, const std::string& architecture, Sizes sizes) {
  const Architecture& a = FindArchitecture(architecture);
  sizes.merge(Sizes{{"layers", 1}, {"width", 8}, {"vocab", 9}});
  const LoadedModel model = NewModel(a, a.complete_sizes(sizes), 1);
  std::vector<NamedTensor> tensors;
  for (const Parameter& p : model.params->parameters()) tensors.push_back({p.name, p.tensor});
  WriteSafetensors(path, tensors, {});
  return path;
}

TEST_F(PlotCommand, EigenvaluesOfS4AreThoseOfItsDiagonal) {
  const std::string s4 = NewModelFile(folder_ / "s4.safetensors", "s4", {{"state", 6}});
  const json result = Json({"eigenvalues", s4, "-o", folder_ / "e.svg"});
  EXPECT_EQ(result["diagonal_alone"], true);
  ASSERT_EQ(result["layers"][0].size(), 3u * 8);
  const auto checkpoint = Checkpoint::Open(s4);
  const Tensor step = checkpoint->Load("blocks.0.s4.log_dt"), im = checkpoint->Load("blocks.0.s4.A_im");
  const double delta = std::exp(step.data()[2]);
  const std::complex<double> half = delta / 2 * std::complex(-0.5, 1.0 * im.data()[1]);
  const std::complex<double> expected = (1.0 + half) / (1.0 - half);
  EXPECT_NEAR(result["layers"][0][8 + 2][0].get<double>(), expected.real(), 1e-5) << "-1/2 is LegS's";
  EXPECT_NEAR(result["layers"][0][8 + 2][1].get<double>(), expected.imag(), 1e-5);
  EXPECT_NE(ReadFile(folder_ / "e.svg").find("without P P*"), std::string::npos);
  EXPECT_NE(RunLinnet({"plot", "eigenvalues", s4}).out.find("without its low-rank part"), std::string::npos);
}

TEST_F(PlotCommand, KernelsAreWhatTheModelsDo) {
  for (const std::string name : {"s4", "s4d"}) {
    const std::string file = NewModelFile(folder_ / (name + ".safetensors"), name, {{"state", 6}});
    const json curves =
        Json({"kernel", file, "--length", "7", "--curves", "8", "-o", folder_ / "k.svg"}).at("curves");
    ASSERT_EQ(curves.size(), 8u);
    EXPECT_EQ(curves[3]["name"], "feature 3");
    ASSERT_EQ(curves[3]["kernel"].size(), 7u);
    // K_0 = 2 Re sum_m C b, from the parameters.
    const auto checkpoint = Checkpoint::Open(file);
    const std::string block = "blocks.0." + name + ".";
    const Tensor C = checkpoint->Load(block + "C"), step = checkpoint->Load(block + "log_dt"),
                 re = checkpoint->Load(block + "A_re"), im = checkpoint->Load(block + "A_im");
    if (name == "s4d") {
      std::complex<double> sum = 0;
      for (int m = 0; m < 3; ++m) {
        const std::complex<double> a(-std::exp(re.data()[m * 8 + 3]), im.data()[m * 8 + 3]);
        const double delta = std::exp(step.data()[3]);
        sum += std::complex<double>(C.data()[m * 8 + 3], C.data()[24 + m * 8 + 3]) *
               (std::exp(delta * a) - 1.0) / a;
      }
      EXPECT_NEAR(curves[3]["kernel"][0].get<double>(), 2 * sum.real(), 1e-5);
    }
    EXPECT_EQ(Count(ReadFile(folder_ / "k.svg"), "<path"), 8u);
  }
  const std::string rwkv2 = NewModelFile(folder_ / "rwkv2.safetensors", "rwkv2", {});
  const json curves = Json({"kernel", rwkv2, "--length", "4", "--curves", "2"}).at("curves");
  const std::vector<double> decays = Json({"decay", rwkv2}).at("layers")[0];
  const double slowest = *std::ranges::max_element(decays);
  ASSERT_EQ(curves.size(), 2u);
  for (int j = 0; j < 4; ++j) {
    EXPECT_NEAR(curves[1]["kernel"][j].get<double>(), std::pow(slowest, j), 1e-6);
  }
  EXPECT_TRUE(FailsWith({"plot", "kernel", rwkv2, "--layer", "3"}, {"layer 3 has no kernel", "s4d"}));
}

// There are eight colours.
TEST_F(PlotCommand, TheNinthCurveIsDashed) {
  const std::string file = NewModelFile(folder_ / "s4d.safetensors", "s4d", {{"width", 24}, {"state", 2}});
  for (const auto& [curves, dashed] : {std::pair{"8", 0u}, {"9", 2u}, {"24", 32u}}) {
    ASSERT_EQ(RunLinnet({"plot", "kernel", file, "--curves", curves, "-o", folder_ / "k.svg"}).code, 0);
    EXPECT_EQ(Count(ReadFile(folder_ / "k.svg"), "stroke-dasharray"), dashed)
        << curves << ", legend included";
  }
  const std::string svg = ReadFile(folder_ / "k.svg");
  EXPECT_EQ(Count(svg, "stroke-dasharray=\"9 4.5\""), 16u);
  EXPECT_EQ(Count(svg, "stroke-dasharray=\"3 1.5\""), 16u);
  ASSERT_EQ(RunLinnet({"plot", "kernel", file, "--curves", "9", "-o", folder_ / "9.png"}).code, 0);
}

TEST_F(PlotCommand, DecaysOfRwkv7) {
  const std::string model = WriteTinyModel(folder_ / "m.safetensors");
  const json result = Json({"decay", model, "-o", folder_ / "d.svg"});
  EXPECT_EQ(result["model"], model);
  ASSERT_EQ(result["layers"].size(), 2u);
  const auto checkpoint = Checkpoint::Open(model);
  for (int layer = 0; layer < 2; ++layer) {
    const Tensor w0 = checkpoint->Load(fmt::format("blocks.{}.att.w0", layer));
    ASSERT_EQ(result["layers"][layer].size(), 32u);
    for (int c = 0; c < 32; ++c) {
      const double sigmoid = 1 / (1 + std::exp(-static_cast<double>(w0.data()[c])));
      EXPECT_NEAR(result["layers"][layer][c].get<double>(), std::exp(-0.6065306597 * sigmoid), 1e-9);
    }
  }
  const std::string svg = ReadFile(folder_ / "d.svg");
  EXPECT_EQ(Count(svg, "stroke-linejoin"), 2u);  // a curve a layer
  EXPECT_EQ(Count(svg, "layer 0"), 1u);
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
}

TEST_F(PlotCommand, DecaysOfTheOlderOnes) {
  const std::string file = folder_ / "old.safetensors";
  WriteSafetensors(file,
                   {{"blocks.0.att.time_decay", Values({-6, 0, 1, -1}, {1, 1, 4})},
                    {"blocks.1.att.time_decay", Values({-2, -3, -4, -5}, {2, 2})},
                    {"blocks.2.att.time_decay", Values({-2, std::nanf("")}, {2})}},
                   {});
  const json result = Json({"decay", file, "--half-life", "-o", folder_ / "d.svg"});
  ASSERT_EQ(result["layers"].size(), 3u);
  EXPECT_NEAR(result["layers"][0][0].get<double>(), std::exp(-std::exp(-6)), 1e-9);
  EXPECT_NEAR(result["layers"][1][3].get<double>(), std::exp(-std::exp(-5)), 1e-9);
  EXPECT_TRUE(result["layers"][2][1].is_null());
  EXPECT_EQ(ReadFile(folder_ / "d.svg").find("nan"), std::string::npos);
  const Outcome table = RunLinnet({"plot", "decay", file});
  EXPECT_NE(table.out.find("half-life"), std::string::npos) << table.out;
  EXPECT_EQ(RunLinnet({"plot", "decay", file, "--by-channel", "-o", folder_ / "c.svg"}).code, 0);
  EXPECT_NE(ReadFile(folder_ / "c.svg"), ReadFile(folder_ / "d.svg"));
}

TEST_F(PlotCommand, AFileWithoutDecaysIsRefused) {
  WriteSafetensors(folder_ / "x.safetensors", {{"w", Tensor::Zeros({3})}}, {});
  EXPECT_TRUE(FailsWith({"plot", "decay", folder_ / "x.safetensors"}, {"x.safetensors", "no decays"}));
  WriteSafetensors(folder_ / "i.safetensors", {{"blocks.0.att.w0", Tensor::Zeros({3}, DType::kI32)}}, {});
  EXPECT_TRUE(FailsWith({"plot", "decay", folder_ / "i.safetensors"}, {"blocks.0.att.w0", "i32"}));
  WriteSafetensors(folder_ / "e.safetensors", {{"blocks.0.att.w0", Tensor::Zeros({0})}}, {});
  EXPECT_TRUE(FailsWith({"plot", "decay", folder_ / "e.safetensors"}, {"no decays"}));
}

TEST_F(PlotCommand, PositionsAddUpToTheLoss) {
  const std::string model = WriteTinyModel(folder_ / "m.safetensors"), text = folder_ / "t.txt";
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>('a' + i * i % 26);
  WriteFile(text, bytes);
  const json result = Json({"positions", model, "--text", text, "--window", "64", "-o", folder_ / "p.svg"});
  double sum = 0;
  int64_t tokens = 0;
  for (const json& step : result["positions"]) {
    sum += step["loss"].get<double>() * step["tokens"].get<double>();
    tokens += step["tokens"].get<int64_t>();
  }
  EXPECT_EQ(tokens, 256);
  const Outcome ppl = RunLinnet({"eval", "ppl", model, "--text", text, "--window", "64", "--json"});
  EXPECT_NEAR(sum / 256, json::parse(ppl.out)["loss"].get<double>(), 1e-6);
  EXPECT_EQ(Count(ReadFile(folder_ / "p.svg"), "<circle"), result["positions"].size());
  const Outcome table = RunLinnet({"plot", "positions", model, "--text", text, "--window", "64"});
  EXPECT_NE(table.out.find("49 - 64"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("Loss by position"), std::string::npos) << table.out;
  EXPECT_TRUE(
      FailsWith({"plot", "positions", model, "--text", text, "--window", "300"}, {"300", "--window"}));
}

}  // namespace
}  // namespace linnet
