// linnet plot: charts that show what a model is like, and how it came to be.
#include "cli/plots.h"

#include <fmt/format.h>

#include "base/file.h"
#include "cli/commands.h"

namespace linnet {

void AddChartOption(CLI::App& command, std::string& path) {
  command.add_option("-o,--output", path, "Draw the picture into this file, .svg or .png")
      ->type_name("FILE")
      ->check([](const std::string& name) {
        const bool known = name.ends_with(".svg") || name.ends_with(".png");
        return known ? "" : fmt::format("a picture's name ends in .svg or .png, but {} does not", name);
      });
}

void WriteChart(const std::string& path, const Chart& chart) {
  if (!path.empty()) WriteFile(path, path.ends_with(".png") ? ChartPng(chart) : ChartSvg(chart));
}

void AddPlot(CLI::App& app) {
  CLI::App* plot = app.add_subcommand(
      "plot", "Draw runs and models: losses, decays, eigenvalues, kernels, loss by position");
  plot->require_subcommand(1);
  AddPlotDecay(*plot);
  AddPlotEigenvalues(*plot);
  AddPlotKernel(*plot);
  AddPlotPositions(*plot);
  AddPlotLoss(*plot);
  plot->footer("Example: linnet plot decay model.safetensors -o decay.svg");
}

}  // namespace linnet
