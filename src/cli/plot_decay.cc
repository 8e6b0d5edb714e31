// linnet plot decay: how fast each channel of each layer forgets, as RWKV's authors draw it. With --json one
// object, a stable contract:   {"model": "...", "layers": [[decay of each channel], ...]}
//
// What a decay is: infer/decays.h. Half of what a channel holds is gone after ln(1/2) / ln d tokens.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "cli/plots.h"
#include "cli/terminal.h"
#include "infer/decays.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct DecayOptions {
  std::string model, output;
  bool half_life = false, by_channel = false, json = false;
};

std::vector<std::vector<double>> FileDecays(const std::string& model) {
  std::vector<std::vector<double>> layers = Decays(*Checkpoint::Open(model));
  Check(!layers.empty(),
        "{}: has no decays: neither blocks.0.att.w0 (RWKV-7) nor blocks.0.att.time_decay (RWKV-4 to 6)",
        model);
  return layers;
}

double HalfLife(double decay) { return -std::numbers::ln2 / std::log(decay); }

Chart DecayChart(const DecayOptions& options, std::vector<std::vector<double>> layers) {
  Chart chart;
  const std::string name = std::filesystem::path(options.model).filename().string();
  chart.title =
      fmt::format("{} of each channel, {}", options.half_life ? "Half-life" : "Decay", Printable(name));
  chart.x_label = options.by_channel ? "channel" : "channel, from the fastest to the slowest";
  chart.y_label = options.half_life ? "tokens until half is forgotten" : "decay per token";
  if (options.half_life) chart.y_scale = Scale::kLog;
  chart.ramp = "layer";
  for (size_t i = 0; i < layers.size(); ++i) {
    if (!options.by_channel) std::ranges::sort(layers[i]);
    Series series{std::to_string(i), Series::Style::kCurve, {}};
    for (size_t c = 0; c < layers[i].size(); ++c) {
      const double decay = layers[i][c];
      series.points.push_back({static_cast<double>(c), options.half_life ? HalfLife(decay) : decay});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

/// "12.3"; what lasts for ever is "inf".
std::string TokensText(double tokens) {
  return std::isfinite(tokens) && tokens >= 1000 ? WithCommas(std::llround(tokens))
                                                 : fmt::format("{:.3g}", tokens);
}

void PrintTable(const std::vector<std::vector<double>>& layers) {
  fmt::print("half-life of the channels in tokens\nlayer  {:>10}  {:>10}  {:>10}\n", "fastest", "median",
             "slowest");
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<double> sorted = layers[i];
    std::ranges::sort(sorted);
    fmt::print("{:>5}  {:>10}  {:>10}  {:>10}\n", i, TokensText(HalfLife(sorted.front())),
               TokensText(HalfLife(sorted[sorted.size() / 2])), TokensText(HalfLife(sorted.back())));
  }
}

void RunDecay(const DecayOptions& options) {
  const auto layers = FileDecays(options.model);
  WriteChart(options.output, DecayChart(options, layers));
  if (options.json) {
    const Json object = {{"model", options.model}, {"layers", layers}};
    fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    PrintTable(layers);
  }
}

}  // namespace

void AddPlotDecay(CLI::App& plot) {
  auto options = std::make_shared<DecayOptions>();
  CLI::App* command = plot.add_subcommand("decay", "How fast the channels of each layer forget");
  command
      ->add_option("model", options->model,
                   "The model: .safetensors, .pth, .gguf, .bin of rwkv.cpp, or a folder")
      ->required()
      ->type_name("FILE");
  AddChartOption(*command, options->output);
  command->add_flag("--half-life", options->half_life,
                    "Draw the tokens until half is forgotten instead of the decay");
  command->add_flag("--by-channel", options->by_channel,
                    "Keep the order of the channels, which are sorted else");
  command->add_flag("--json", options->json, "Print all decays as one JSON object");
  command->footer("Example: linnet plot decay model.safetensors -o decay.svg --half-life");
  command->callback([options] { RunDecay(*options); });
}

}  // namespace linnet
