// Curves: a chart of a few series of points, drawn with characters or as a picture.
#pragma once

#include <string>
#include <vector>

namespace linnet {

struct Point {
  double x, y;
};

struct Series {
  enum class Style {
    kLine,     // many, noisy points; the SVG draws them pale with their running mean over them
    kCurve,    // points of a function, joined
    kMarkers,  // few points, marked each
    kDots,     // points that are not joined
  };
  std::string name;  // "": not in the legend
  Style style;
  std::vector<Point> points;
  int group = -1;  // series of one group share a colour; -1: one of its own
};

/// How values lie along an axis. On a logarithmic one only positive values are shown.
enum class Scale { kLinear, kLog };

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  Scale x_scale = Scale::kLinear, y_scale = Scale::kLinear;
  /// What the series count, if they are steps of one quantity ("layer"): their colours then run from the
  /// first to the last, and the legend shows these two.
  std::string ramp = "";
  /// Whether it is a plane: in a picture a unit of x is as long as one of y, and curves may turn back.
  bool equal_units = false;
};

/// The chart in `columns` x `rows` characters, axes and labels included: braille dots where `utf8`, else
/// ASCII. Lines end with '\n'. Empty if no point is finite.
std::string DrawChart(const Chart& chart, int columns, int rows, bool utf8);

/// The chart as an SVG document, or a PNG file, on a white ground.
std::string ChartSvg(const Chart& chart);
std::string ChartPng(const Chart& chart);

}  // namespace linnet
