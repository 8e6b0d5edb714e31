// The axes of a chart, and points made few enough to draw: what a terminal's chart and a picture share.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "cli/plot.h"

namespace linnet {

struct Axis {
  Scale scale;
  double low, high;           // its ends
  std::vector<double> ticks;  // ascending

  bool Shows(double x) const { return std::isfinite(x) && (scale == Scale::kLinear || x > 0); }
  /// Where x lies between the ends, 0 to 1.
  double At(double x) const {
    if (scale == Scale::kLog) return std::log(x / low) / std::log(high / low);
    return (x - low) / (high - low);
  }
};

struct Axes {
  Axis x, y;

  bool Show(const Point& p) const { return x.Shows(p.x) && y.Shows(p.y); }
};

/// Axes with about so many ticks that show all points; none if no point can be shown.
std::optional<Axes> AxesOf(const Chart& chart, int x_ticks, int y_ticks);

/// One point for each of `bins` equal parts of the x axis that has any: their mean.
std::vector<Point> Thinned(const std::vector<Point>& points, const Axes& axes, int bins);

/// The running mean over a fortieth of the points on either side.
std::vector<Point> Smoothed(const std::vector<Point>& points);

}  // namespace linnet
