// A chart as a picture.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/drawing.h"
#include "cli/plot_axes.h"

namespace linnet {
namespace {

constexpr double kWidth = 860, kHeight = 480, kLeft = 70, kRight = 25, kTop = 55, kBottom = 60;

struct Style {
  std::string line, pale;
  double dash = 0;
};
const Style kStyles[] = {{"#1f5fa8", "#a9c7e8"}, {"#d9541e", "#f2b89d"}, {"#2e8b57", "#a9d6bc"},
                         {"#7b4fa3", "#cdbbe0"}, {"#b8860b", "#ead6a0"}, {"#1b9aaa", "#a7dbe1"},
                         {"#c2185b", "#efb0ca"}, {"#5d6d7e", "#c3cad1"}};

/// Of the first eight series, the next eight and those after them, as there are eight colours.
constexpr double kDashes[] = {0, 9, 3};

/// The colours of a ramp, from first to last, in between mixed: as bright as each other is dark, so that
/// order shows in grey, too, and the last still stands out from white.
constexpr int kRamp[][3] = {{38, 24, 108}, {118, 34, 144}, {196, 58, 118}, {236, 110, 70}, {242, 172, 56}};

/// The ramp's colour at `part`, 0 to 1.
std::string RampColour(double part) {
  const double place = part * (std::size(kRamp) - 1);
  const auto from = std::min(static_cast<size_t>(place), std::size(kRamp) - 2);
  std::string colour = "#";
  for (int i = 0; i < 3; ++i) {
    const double mixed =
        kRamp[from][i] + (place - static_cast<double>(from)) * (kRamp[from + 1][i] - kRamp[from][i]);
    colour += fmt::format("{:02x}", static_cast<int>(std::lround(mixed)));
  }
  return colour;
}

/// The colours and dashes of series `i`: those of its group or, where it has none, its own.
Style StyleOf(const Chart& chart, size_t i) {
  const int group = chart.series[i].group;
  const size_t number = group >= 0 ? static_cast<size_t>(group) : i;
  Style style = kStyles[number % std::size(kStyles)];
  style.dash = kDashes[number / std::size(kStyles) % std::size(kDashes)];
  return style;
}

Point Place(const Axes& axes, const Point& p) {
  return {kLeft + axes.x.At(p.x) * (kWidth - kLeft - kRight),
          kHeight - kBottom - axes.y.At(p.y) * (kHeight - kTop - kBottom)};
}

void DrawGrid(const Chart& chart, const Axes& axes, Drawing& drawing) {
  constexpr const char *kGridLine = "#e3e3e3", *kAxisLine = "#444444";
  const double bottom = kHeight - kBottom, right = kWidth - kRight;
  for (double tick : axes.x.ticks) {
    const double x = Place(axes, {tick, axes.y.low}).x;
    drawing.Line({x, kTop}, {x, bottom}, kGridLine, 1);
    drawing.Text({x, bottom + 18}, Anchor::kMiddle, 12, fmt::format("{:g}", tick));
  }
  for (double tick : axes.y.ticks) {
    const double y = Place(axes, {axes.x.low, tick}).y;
    drawing.Line({kLeft, y}, {right, y}, kGridLine, 1);
    drawing.Text({kLeft - 8, y + 4}, Anchor::kEnd, 12, fmt::format("{:g}", tick));
  }
  drawing.Line({kLeft, kTop}, {kLeft, bottom}, kAxisLine, 1);
  drawing.Line({kLeft, bottom}, {right, bottom}, kAxisLine, 1);
  drawing.Text({(kLeft + right) / 2, kHeight - 18}, Anchor::kMiddle, 13, chart.x_label);
  drawing.Text({20, (kTop + bottom) / 2}, Anchor::kMiddle, 13, chart.y_label, /*upwards=*/true);
}

void DrawSeries(const Series& series, const Axes& axes, const Style& style, bool turns, Drawing& drawing) {
  const auto placed = [&](std::vector<Point> points) {
    for (Point& p : points) p = Place(axes, p);
    return points;
  };
  const std::vector<Point> points = turns ? series.points : Thinned(series.points, axes, 1000);
  switch (series.style) {
    case Series::Style::kLine:
      drawing.Curve(placed(points), style.pale, 1, 0);
      drawing.Curve(placed(Smoothed(points)), style.line, 2, style.dash);
      break;
    case Series::Style::kCurve:
      drawing.Curve(placed(points), style.line, 1.5, style.dash);
      break;
    case Series::Style::kMarkers:
      // Beside a line of the same colour the marks are hollow and their line thin.
      drawing.Curve(placed(points), style.line, series.group >= 0 ? 1 : 2, style.dash);
      for (const Point& p : placed(points)) {
        drawing.Disc(p, series.group >= 0 ? 4 : 3, style.line);
        if (series.group >= 0) drawing.Disc(p, 2.5, "#ffffff");
      }
      break;
    case Series::Style::kDots:
      for (const Point& p : placed(series.points)) {
        if (std::isfinite(p.x) && std::isfinite(p.y)) drawing.Disc(p, 2, style.line);
      }
      break;
  }
}

/// A line and a name for each series that has one, one below the other; the only one needs none.
void DrawLegend(const Chart& chart, Drawing& drawing) {
  if (chart.series.size() == 1) return;
  size_t longest = 16;
  for (const Series& series : chart.series) longest = std::max(longest, series.name.size());
  const double left = std::max(kLeft + 10, kWidth - kRight - 38 - 7 * static_cast<double>(longest));
  double y = kTop + 20;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    if (series.points.empty() || series.name.empty()) continue;
    const Style style = StyleOf(chart, i);
    if (style.dash > 0) {
      drawing.Curve({{left, y - 4}, {left + 24, y - 4}}, style.line, 3, style.dash);
    } else {
      drawing.Line({left, y - 4}, {left + 24, y - 4}, style.line, 3);
    }
    drawing.Text({left + 32, y}, Anchor::kStart, 13, series.name);
    y += 20;
  }
}

/// "layer 0 [all colours] 11", above the chart's right end.
void DrawRampLegend(const Chart& chart, Drawing& drawing) {
  constexpr double kBar = 120, kHigh = 10, kBase = 32;
  const std::string &first = chart.series.front().name, &last = chart.series.back().name;
  const double end = kWidth - kRight - 8 * static_cast<double>(last.size()) - 6;
  std::vector<std::string> colours;
  for (size_t i = 0; i < std::size(kRamp); ++i) {
    colours.push_back(RampColour(static_cast<double>(i) / (std::size(kRamp) - 1.0)));
  }
  drawing.Bar({end - kBar, kBase - kHigh}, kBar, kHigh, colours);
  drawing.Text({end - kBar - 8, kBase}, Anchor::kEnd, 13, chart.ramp + " " + first);
  drawing.Text({end + 8, kBase}, Anchor::kStart, 13, last);
}

std::string Picture(const Chart& chart, Drawing& drawing) {
  const Axis unit{Scale::kLinear, 0, 1, {0, 1}};
  Axes axes = AxesOf(chart, 8, 6).value_or(Axes{unit, unit});
  if (chart.equal_units) {
    const double shape = (kWidth - kLeft - kRight) / (kHeight - kTop - kBottom);
    const double middle = (axes.x.low + axes.x.high) / 2, half = (axes.y.high - axes.y.low) / 2 * shape;
    axes.x.low = middle - half, axes.x.high = middle + half;
  }
  drawing.Text({kLeft, 32}, Anchor::kStart, 17, chart.title);
  DrawGrid(chart, axes, drawing);
  const size_t count = chart.series.size();
  const bool ramp = !chart.ramp.empty() && count > 1;
  for (size_t i = 0; i < count; ++i) {
    if (chart.series[i].points.empty()) continue;
    const std::string colour =
        ramp ? RampColour(static_cast<double>(i) / static_cast<double>(count - 1)) : "";
    DrawSeries(chart.series[i], axes, ramp ? Style{colour, colour, 0} : StyleOf(chart, i), chart.equal_units,
               drawing);
  }
  if (ramp) {
    DrawRampLegend(chart, drawing);
  } else {
    DrawLegend(chart, drawing);
  }
  return drawing.Finish();
}

}  // namespace

std::string ChartSvg(const Chart& chart) {
  return Picture(chart, *NewSvgDrawing(static_cast<int>(kWidth), static_cast<int>(kHeight)));
}

std::string ChartPng(const Chart& chart) {
  return Picture(chart, *NewPngDrawing(static_cast<int>(kWidth), static_cast<int>(kHeight)));
}

}  // namespace linnet
