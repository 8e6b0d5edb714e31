// linnet plot: charts that show what a model is like.
#include "cli/plots.h"

#include "base/file.h"
#include "cli/commands.h"

namespace linnet {

void WriteChart(const std::string& path, const Chart& chart) {
  if (!path.empty()) WriteFile(path, ChartSvg(chart));
}

void AddPlot(CLI::App& app) {
  CLI::App* plot = app.add_subcommand("plot", "Draw what a model is like: decays, loss by position");
  plot->require_subcommand(1);
  AddPlotDecay(*plot);
  AddPlotPositions(*plot);
  plot->footer("Example: linnet plot decay model.safetensors -o decay.svg");
}

}  // namespace linnet
