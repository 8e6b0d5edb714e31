#include "cli/compare_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "cli/plot.h"
#include "cli/terminal.h"

namespace linnet {
namespace {

using lab::ArchitectureResult;
using lab::Comparison;
using lab::RunResult;

/// The median over the runs that have a result.
double MedianOf(const ArchitectureResult& result, double (*of)(const RunResult&)) {
  std::vector<double> values;
  for (const RunResult& run : result.runs) {
    if (run.failure.empty()) values.push_back(of(run));
  }
  return lab::Median(std::move(values));
}

std::string Whole(double x) { return std::isfinite(x) ? WithCommas(std::llround(x)) : "-"; }

/// Accuracies in per cent, all else with the digits that differ.
std::string QualityText(const Comparison& comparison, double x) {
  if (!std::isfinite(x)) return "-";
  if (lab::HigherIsBetter(comparison.quality)) return fmt::format("{:.1f}%", 100 * x);
  return comparison.quality == lab::Quality::kSquaredError ? fmt::format("{:.2e}", x)
                                                           : fmt::format("{:.3f}", x);
}

using Row = std::vector<std::string>;

Row RowOf(const Comparison& comparison, const ArchitectureResult& result) {
  std::string all;
  for (const RunResult& run : result.runs) {
    all += (all.empty() ? "" : " ") +
           (run.failure.empty() ? QualityText(comparison, run.score.quality(comparison.quality)) : "failed");
  }
  const auto width = result.model.sizes.find("width");
  return {
      result.contestant.name,
      WithCommas(result.model.parameters),
      width == result.model.sizes.end() ? "-" : WithCommas(width->second),
      fmt::format("{:g}", result.rate),
      QualityText(comparison, lab::Median(lab::Qualities(result, comparison.quality))),
      all,
      Whole(MedianOf(result, [](const RunResult& r) { return static_cast<double>(r.steps); })),
      Whole(MedianOf(result, [](const RunResult& r) { return r.seconds; })),
      Whole(MedianOf(result, [](const RunResult& r) { return r.tokens_per_s; })),
      Whole(MedianOf(result, [](const RunResult& r) { return r.running.tokens_per_s; })),
      Whole(MedianOf(result, [](const RunResult& r) { return static_cast<double>(r.running.state_bytes); }))};
}

/// The share of ones that spiking neurons say; nothing for models without any.
std::string FiringRateText(const ArchitectureResult& result) {
  std::vector<double> rates;
  for (const RunResult& run : result.runs) {
    if (run.score.firing_rate) rates.push_back(*run.score.firing_rate);
  }
  return rates.empty() ? "-" : fmt::format("{:.3f}", lab::Median(std::move(rates)));
}

Chart CurveChart(const Comparison& comparison, const char* x_label, double (*x)(const lab::CurvePoint&)) {
  Chart chart{comparison.task, x_label, std::string(NameOf(comparison.quality)) + ", validation", {}};
  for (size_t i = 0; i < comparison.results.size(); ++i) {
    std::string name = comparison.results[i].contestant.name;
    for (const RunResult& run : comparison.results[i].runs) {
      Series series{name, Series::Style::kCurve, {}, static_cast<int>(i)};
      for (const lab::CurvePoint& p : run.curve) series.points.push_back({x(p), p.quality});
      name.clear();  // once in the legend
      chart.series.push_back(std::move(series));
    }
  }
  return chart;
}

Chart StateChart(const Comparison& comparison) {
  Chart chart{comparison.task, "bytes of state", std::string(NameOf(comparison.quality)) + ", test", {}};
  chart.x_scale = Scale::kLog;
  for (size_t i = 0; i < comparison.results.size(); ++i) {
    const ArchitectureResult& result = comparison.results[i];
    Series series{result.contestant.name, Series::Style::kMarkers, {}, static_cast<int>(i)};
    for (const RunResult& run : result.runs) {
      if (!run.failure.empty()) continue;
      series.points.push_back(
          {static_cast<double>(run.running.state_bytes), run.score.quality(comparison.quality)});
    }
    chart.series.push_back(std::move(series));
  }
  return chart;
}

}  // namespace

std::string ComparisonTable(const Comparison& comparison) {
  std::vector<Row> rows{{"architecture", "parameters", "width", "lr", NameOf(comparison.quality), "all seeds",
                         "steps", "seconds", "train tok/s", "run tok/s", "state bytes"}};
  const bool any_spikes = std::ranges::any_of(
      comparison.results, [](const ArchitectureResult& result) { return FiringRateText(result) != "-"; });
  if (any_spikes) rows[0].push_back("firing rate");
  for (const ArchitectureResult& result : comparison.results) {
    rows.push_back(RowOf(comparison, result));
    if (any_spikes) rows.back().push_back(FiringRateText(result));
  }
  std::vector<size_t> widths(rows[0].size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string table;
  for (const Row& row : rows) {
    std::string line = fmt::format("{:<{}}", row[0], widths[0]);
    for (size_t i = 1; i < row.size(); ++i) line += fmt::format("  {:>{}}", row[i], widths[i]);
    table += line + "\n";
  }
  return table;
}

void WriteComparisonCharts(const Comparison& comparison, const std::filesystem::path& folder) {
  const auto tokens = [](const lab::CurvePoint& p) { return static_cast<double>(p.tokens); };
  const auto seconds = [](const lab::CurvePoint& p) { return p.seconds; };
  WriteFile(folder / "by-tokens.svg", ChartSvg(CurveChart(comparison, "tokens", tokens)));
  WriteFile(folder / "by-seconds.svg", ChartSvg(CurveChart(comparison, "seconds of training", seconds)));
  WriteFile(folder / "by-state.svg", ChartSvg(StateChart(comparison)));
}

}  // namespace linnet
