// The commands under `linnet plot`.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/plot.h"

namespace linnet {

void AddPlotDecay(CLI::App& plot);
void AddPlotPositions(CLI::App& plot);

/// Writes the chart as SVG, if `path` is not empty.
void WriteChart(const std::string& path, const Chart& chart);

}  // namespace linnet
