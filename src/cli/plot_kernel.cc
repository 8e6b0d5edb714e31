// linnet plot kernel: the weight that a linear recurrence gives to what came j tokens before, which is the
// kernel of the convolution that it equals. With --json one object, a stable contract:
//   {"model": "...", "layer": n, "curves": [{"name": "...", "kernel": [weight of j = 0, 1, ...]}, ...]}
//
// Of S4 and S4D, features' K_j; of LRU and S5, whose features share modes, the modes' waves Re a^j; of RWKV,
// channels' d^j with the decays of infer/decays.h, which the input moves in RWKV-6 and 7.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "cli/plots.h"
#include "cli/terminal.h"
#include "infer/decays.h"
#include "infer/state_spaces.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;
using Number = std::complex<double>;

struct KernelOptions {
  std::string model, output;
  int layer = 0, length = 64, curves = 6;
  bool json = false;
};

struct Kernel {
  std::string name;
  std::vector<double> weights;
};

/// `count` of `size` things, evenly spread, the first and the last among them.
std::vector<size_t> Some(size_t size, int count) {
  std::vector<size_t> chosen;
  const size_t most = std::min(size, static_cast<size_t>(count));
  for (size_t i = 0; i < most; ++i) chosen.push_back(most == 1 ? 0 : i * (size - 1) / (most - 1));
  return chosen;
}

/// Re a^j of some of the factors, from what forgets fastest to what forgets slowest.
std::vector<Kernel> Waves(std::vector<Number> factors, const char* name, const KernelOptions& options) {
  std::ranges::sort(factors, {}, [](Number a) { return std::abs(a); });
  std::vector<Kernel> kernels;
  for (size_t i : Some(factors.size(), options.curves)) {
    Kernel kernel{fmt::format("{} = {:.3f}", name, std::abs(factors[i])), {}};
    Number power = 1;
    for (int j = 0; j < options.length; ++j, power *= factors[i]) kernel.weights.push_back(power.real());
    kernels.push_back(std::move(kernel));
  }
  return kernels;
}

std::vector<Kernel> Kernels(const KernelOptions& options) {
  const auto checkpoint = Checkpoint::Open(options.model);
  const auto layer = static_cast<size_t>(options.layer);
  const auto features = FeatureKernels(*checkpoint, layer, options.length);
  std::vector<Kernel> kernels;
  for (size_t h : Some(features.size(), options.curves)) {
    kernels.push_back({fmt::format("feature {}", h), features[h]});
  }
  if (!kernels.empty()) return kernels;
  const std::vector<Number> modes = LayerEigenvalues(*checkpoint, layer);
  if (!modes.empty()) return Waves(modes, "|a|", options);
  const auto decays = Decays(*checkpoint);
  Check(layer < decays.size(),
        "{}: layer {} has no kernel; those of rwkv2 to rwkv7, s4, s4d, s5 and lru (from rung 3 on) do",
        options.model, layer);
  return Waves({decays[layer].begin(), decays[layer].end()}, "d", options);
}

Chart KernelChart(const KernelOptions& options, const std::vector<Kernel>& kernels) {
  const std::string name = std::filesystem::path(options.model).filename().string();
  Chart chart{fmt::format("What layer {} keeps of the past, {}", options.layer, Printable(name)),
              "tokens back",
              "weight",
              {}};
  for (const Kernel& kernel : kernels) {
    Series series{kernel.name, Series::Style::kCurve, {}};
    for (size_t j = 0; j < kernel.weights.size(); ++j) {
      series.points.push_back({static_cast<double>(j), kernel.weights[j]});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

void RunKernel(const KernelOptions& options) {
  const std::vector<Kernel> kernels = Kernels(options);
  const Chart chart = KernelChart(options, kernels);
  WriteChart(options.output, chart);
  if (!options.json) {
    fmt::print("{}", DrawChart(chart, std::min(100, TerminalColumns(stdout)), 20, LocaleIsUtf8()));
    return;
  }
  Json curves = Json::array();
  for (const Kernel& kernel : kernels) curves.push_back({{"name", kernel.name}, {"kernel", kernel.weights}});
  const Json object = {{"model", options.model}, {"layer", options.layer}, {"curves", curves}};
  fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

void AddPlotKernel(CLI::App& plot) {
  auto options = std::make_shared<KernelOptions>();
  CLI::App* command =
      plot.add_subcommand("kernel", "What a recurrence keeps of the past: the kernel that it equals");
  command->add_option("model", options->model, "The model")->required()->type_name("FILE");
  command->add_option("--layer", options->layer, "Whose kernels")
      ->check(CLI::Range(0, 1 << 20))
      ->capture_default_str();
  command->add_option("--length", options->length, "Tokens back")
      ->check(CLI::Range(2, 1 << 16))
      ->capture_default_str();
  command->add_option("--curves", options->curves, "Of so many of its features, modes or channels")
      ->check(CLI::Range(1, 24))
      ->capture_default_str();
  AddChartOption(*command, options->output);
  command->add_flag("--json", options->json, "Print the kernels as one JSON object");
  command->footer("Example: linnet plot kernel model.safetensors --length 256 -o kernel.svg");
  command->callback([options] { RunKernel(*options); });
}

}  // namespace linnet
