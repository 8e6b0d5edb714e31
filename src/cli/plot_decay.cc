// linnet plot decay: how fast each channel of each layer forgets, as RWKV's authors draw it. With --json one
// object, a stable contract:   {"model": "...", "layers": [[decay of each channel], ...]}
//
// A channel's state is multiplied by its decay d with every token:
//   RWKV-4, 5, 6   d = exp(-exp(time_decay))                    a channel or, in RWKV-5.0 and 5.1, a head
//   each RWKV-7         d = exp(-e^(-1/2) sigmoid(w0))
// In RWKV-6 and 7 the input moves it from token to token; this is what it is moved from. Half of what a
// channel holds is gone after ln(1/2) / ln d tokens.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "cli/plots.h"
#include "cli/terminal.h"
#include "formats/checkpoint.h"
#include "kernels/backend.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;

struct DecayOptions {
  std::string model, output;
  bool half_life = false, by_channel = false, json = false;
};

std::vector<float> Floats(const Checkpoint& checkpoint, const std::string& name) {
  const Tensor tensor = checkpoint.Load(name);
  Check(IsReal(tensor.dtype()), "{}: {} holds {}, which are no weights", checkpoint.path().string(), name,
        Traits(tensor.dtype()).name);
  if (tensor.size() == 0) return {};
  const Tensor wide = Tensor::Empty(tensor.shape());
  Backend::For(Device::kCpu).Convert(tensor, wide);
  return {wide.data(), wide.data() + wide.size()};
}

/// The decays of one layer; empty if the file has no such layer.
std::vector<double> LayerDecays(const Checkpoint& checkpoint, int layer) {
  const std::string att = fmt::format("blocks.{}.att.", layer);
  std::vector<double> decays;
  if (checkpoint.Find(att + "w0") != nullptr) {
    const double slowest = std::exp(-0.5);
    for (double w : Floats(checkpoint, att + "w0")) decays.push_back(std::exp(-slowest / (1 + std::exp(-w))));
  } else if (checkpoint.Find(att + "time_decay") != nullptr) {
    for (double w : Floats(checkpoint, att + "time_decay")) decays.push_back(std::exp(-std::exp(w)));
  }
  return decays;
}

std::vector<std::vector<double>> Decays(const Checkpoint& checkpoint) {
  std::vector<std::vector<double>> layers;
  for (;;) {
    std::vector<double> layer = LayerDecays(checkpoint, static_cast<int>(layers.size()));
    if (layer.empty()) break;
    layers.push_back(std::move(layer));
  }
  Check(!layers.empty(),
        "{}: has no decays: neither blocks.0.att.w0 (RWKV-7) nor blocks.0.att.time_decay (RWKV-4 to 6)",
        checkpoint.path().string());
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
  const auto layers = Decays(*Checkpoint::Open(options.model));
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
