// The commands under `linnet plot`.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/plot.h"

namespace linnet {

void AddPlotDecay(CLI::App& plot);
void AddPlotPositions(CLI::App& plot);
void AddPlotEigenvalues(CLI::App& plot);
void AddPlotKernel(CLI::App& plot);

void AddPlotLoss(CLI::App& plot);

/// The option -o, a file whose name ends in .svg or .png.
void AddChartOption(CLI::App& command, std::string& path);
/// Writes the chart as the name's ending says, if `path` is not empty.
void WriteChart(const std::string& path, const Chart& chart);

}  // namespace linnet
