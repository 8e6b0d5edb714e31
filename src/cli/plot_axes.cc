#include "cli/plot_axes.h"

#include <algorithm>
#include <map>

namespace linnet {
namespace {

/// An axis from tick to tick over [low, high] with about `count` ticks at multiples of 1, 2 or 5 times a
/// power of ten.
Axis LinearAxis(double low, double high, int count) {
  const double rough = std::max(high - low, 1e-9 * std::max(1.0, std::abs(high))) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (double multiple : {5, 2, 1}) {
    if (multiple * power >= rough) step = multiple * power;
  }
  const double first = std::floor(low / step);
  const double last = std::max(std::ceil(high / step), first + 1);
  Axis axis{Scale::kLinear, first * step, last * step, {}};
  for (double i = first; i <= last; ++i) axis.ticks.push_back(i * step + 0.0);
  return axis;
}

/// An axis from tick to tick over [low, high], both positive, with ticks at powers of ten, and at 2 and 5
/// times these where there is room.
Axis LogAxis(double low, double high, int count) {
  const auto ticks_of = [&](const std::vector<double>& multiples) {
    std::vector<double> ticks;
    for (double power = std::floor(std::log10(low)); ticks.empty() || ticks.back() < high; ++power) {
      for (double multiple : multiples) {
        const double tick = multiple * std::pow(10, power);
        if (!ticks.empty() && ticks.back() >= high) break;
        if (ticks.size() == 1 && tick <= low) ticks.clear();  // the last one not above `low` begins the axis
        ticks.push_back(tick);
      }
    }
    if (ticks.size() < 2) ticks.push_back(10 * ticks.front());
    return ticks;
  };
  std::vector<double> ticks = ticks_of({1, 2, 5});
  if (static_cast<int>(ticks.size()) > 2 * count) ticks = ticks_of({1});
  return {Scale::kLog, ticks.front(), ticks.back(), ticks};
}

Axis MakeAxis(Scale scale, double low, double high, int ticks) {
  return scale == Scale::kLog ? LogAxis(low, high, ticks) : LinearAxis(low, high, ticks);
}

/// The axis cut to [low, high], so that curves reach from one side to the other.
Axis Cut(Axis axis, double low, double high) {
  if (low == high) return axis;
  std::erase_if(axis.ticks, [&](double tick) { return tick < low || tick > high; });
  return {axis.scale, low, high, axis.ticks};
}

}  // namespace

std::optional<Axes> AxesOf(const Chart& chart, int x_ticks, int y_ticks) {
  const Axes scales{{chart.x_scale, 0, 1, {}}, {chart.y_scale, 0, 1, {}}};
  double left = INFINITY, right = -INFINITY, bottom = INFINITY, top = -INFINITY;
  for (const Series& series : chart.series) {
    for (const Point& p : series.points) {
      if (!scales.Show(p)) continue;
      left = std::min(left, p.x), right = std::max(right, p.x);
      bottom = std::min(bottom, p.y), top = std::max(top, p.y);
    }
  }
  if (left > right) return std::nullopt;
  return Axes{Cut(MakeAxis(chart.x_scale, left, right, x_ticks), left, right),
              MakeAxis(chart.y_scale, bottom, top, y_ticks)};
}

std::vector<Point> Thinned(const std::vector<Point>& points, const Axes& axes, int bins) {
  struct Sum {
    double x = 0, y = 0;
    int count = 0;
  };
  std::map<int, Sum> sums;
  for (const Point& p : points) {
    if (!axes.Show(p)) continue;
    Sum& sum = sums[std::min(bins - 1, static_cast<int>(axes.x.At(p.x) * bins))];
    sum.x += p.x, sum.y += p.y, ++sum.count;
  }
  std::vector<Point> result;
  for (const auto& [bin, sum] : sums) result.push_back({sum.x / sum.count, sum.y / sum.count});
  return result;
}

std::vector<Point> Smoothed(const std::vector<Point>& points) {
  const auto count = static_cast<int>(points.size()), reach = count / 40;
  std::vector<Point> result;
  for (int i = 0; i < count; ++i) {
    const int near =
        std::min({reach, i, count - 1 - i});  // symmetric, so that the ends are not pulled inwards
    double sum = 0;
    for (int k = i - near; k <= i + near; ++k) sum += points[k].y;
    result.push_back({points[i].x, sum / (2 * near + 1)});
  }
  return result;
}

}  // namespace linnet
