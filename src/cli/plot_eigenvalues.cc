// linnet plot eigenvalues: where the eigenvalues of a linear state space lie in the complex plane. A mode's
// state is multiplied by its eigenvalue with every token: its distance from 0 says how slowly it forgets, its
// angle how fast it turns; on the unit circle nothing is forgotten. With --json one object, a stable
// contract:
//   {"model": "...", "diagonal_alone": false, "layers": [[[re, im], ...], ...]}
// Of S4 they are those of its diagonal, without the low-rank part (infer/state_spaces.h says why).
#include <algorithm>
#include <cmath>
#include <complex>
#include <nlohmann/json.hpp>
#include <numbers>

#include "cli/plots.h"
#include "cli/terminal.h"
#include "infer/state_spaces.h"

namespace linnet {
namespace {

using Json = nlohmann::ordered_json;
using Number = std::complex<double>;

struct EigenvaluesOptions {
  std::string model, output;
  bool json = false;
};

Series UnitCircle() {
  Series series{"unit circle", Series::Style::kCurve, {}, /*group=*/7};
  for (int degree = 0; degree <= 360; degree += 2) {
    const Number at = std::polar(1.0, degree * std::numbers::pi / 180);
    series.points.push_back({at.real(), at.imag()});
  }
  return series;
}

Chart EigenvaluesChart(const std::string& model, const std::vector<std::vector<Number>>& layers,
                       bool diagonal_alone) {
  Chart chart;
  chart.title =
      fmt::format("Eigenvalues{}, {}", diagonal_alone ? " of the diagonal Lambda, without P P*" : "",
                  Printable(std::filesystem::path(model).filename().string()));
  chart.x_label = "real part";
  chart.y_label = "imaginary part";
  chart.equal_units = true;
  chart.series = {UnitCircle()};
  for (size_t i = 0; i < layers.size(); ++i) {
    Series series{fmt::format("layer {}", i), Series::Style::kDots, {}, static_cast<int>(i % 7)};
    for (const Number& a : layers[i]) series.points.push_back({a.real(), a.imag()});
    chart.series.push_back(std::move(series));
  }
  return chart;
}

void PrintTable(const std::vector<std::vector<Number>>& layers, bool diagonal_alone) {
  if (diagonal_alone) fmt::print("of S4's diagonal Lambda, without its low-rank part P P*\n");
  fmt::print("distances of the eigenvalues from 0\nlayer  {:>6}  {:>9}  {:>9}  {:>9}\n", "count", "smallest",
             "median", "largest");
  for (size_t i = 0; i < layers.size(); ++i) {
    std::vector<double> sizes;
    for (const Number& a : layers[i]) sizes.push_back(std::abs(a));
    std::ranges::sort(sizes);
    fmt::print("{:>5}  {:>6}  {:>9.6f}  {:>9.6f}  {:>9.6f}\n", i, sizes.size(), sizes.front(),
               sizes[sizes.size() / 2], sizes.back());
  }
}

void RunEigenvalues(const EigenvaluesOptions& options) {
  const auto checkpoint = Checkpoint::Open(options.model);
  std::vector<std::vector<Number>> layers;
  for (auto layer = LayerEigenvalues(*checkpoint, 0); !layer.empty();
       layer = LayerEigenvalues(*checkpoint, layers.size())) {
    layers.push_back(std::move(layer));
  }
  Check(!layers.empty(), "{}: has no eigenvalues; models of lru (from rung 3 on), s4, s4d and s5 do",
        options.model);
  const bool diagonal_alone = AreOfDiagonalAlone(*checkpoint);
  WriteChart(options.output, EigenvaluesChart(options.model, layers, diagonal_alone));
  if (!options.json) return PrintTable(layers, diagonal_alone);
  Json lists = Json::array();
  for (const auto& layer : layers) {
    Json list = Json::array();
    for (const Number& a : layer) list.push_back({a.real(), a.imag()});
    lists.push_back(std::move(list));
  }
  const Json object = {{"model", options.model}, {"diagonal_alone", diagonal_alone}, {"layers", lists}};
  fmt::print("{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

void AddPlotEigenvalues(CLI::App& plot) {
  auto options = std::make_shared<EigenvaluesOptions>();
  CLI::App* command =
      plot.add_subcommand("eigenvalues", "Where the eigenvalues of a state space lie (LRU, S4, S4D, S5)");
  command->add_option("model", options->model, "The model")->required()->type_name("FILE");
  AddChartOption(*command, options->output);
  command->add_flag("--json", options->json, "Print all eigenvalues as one JSON object");
  command->footer("Example: linnet plot eigenvalues model.safetensors -o eigenvalues.svg");
  command->callback([options] { RunEigenvalues(*options); });
}

}  // namespace linnet
