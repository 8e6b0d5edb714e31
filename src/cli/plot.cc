#include "cli/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

namespace linnet {
namespace {

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

struct Axes {
  Axis x, y;

  bool Show(const Point& p) const { return x.Shows(p.x) && y.Shows(p.y); }
};

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

/// One point for each of `bins` equal parts of the x axis that has any: their mean.
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

/// The running mean over a fortieth of the points on either side.
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

/// A grid of dots behind a grid of characters. A braille character has 2 x 4 dots, an ASCII one a single dot.
class Canvas {
 public:
  Canvas(int columns, int rows, bool utf8)
      : columns_(columns), rows_(rows), utf8_(utf8), dots_(columns * rows, 0), marks_(columns * rows, 0) {}

  int width() const { return columns_ * (utf8_ ? 2 : 1); }
  int height() const { return rows_ * (utf8_ ? 4 : 1); }

  /// Dots from one point to another, both in [0, 1].
  void Line(double x0, double y0, double x1, double y1) {
    const int steps =
        1 + static_cast<int>(std::max(std::abs(x1 - x0) * width(), std::abs(y1 - y0) * height()));
    for (int i = 0; i <= steps; ++i) Dot(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps);
  }

  void Mark(double x, double y) { marks_[Scale(1 - y, rows_) * columns_ + Scale(x, columns_)] = 1; }

  std::string Row(int row) const {
    std::string text;
    for (int i = row * columns_; i < (row + 1) * columns_; ++i) {
      if (marks_[i]) {
        text += utf8_ ? "●" : "o";
      } else if (dots_[i] == 0) {
        text += ' ';
      } else if (!utf8_) {
        text += '.';
      } else {  // U+2800 + dots
        text += "\xE2";
        text += static_cast<char>(0xA0 + (dots_[i] >> 6));
        text += static_cast<char>(0x80 + (dots_[i] & 0x3F));
      }
    }
    return text;
  }

 private:
  static int Scale(double part, int count) {
    return std::clamp(static_cast<int>(part * count), 0, count - 1);
  }

  void Dot(double x, double y) {
    // Bits of a braille character, by row and column.
    constexpr unsigned char kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    const int column = Scale(x, width()), row = Scale(1 - y, height());
    if (utf8_) {
      dots_[row / 4 * columns_ + column / 2] |= kBits[row % 4][column % 2];
    } else {
      dots_[row * columns_ + column] = 1;
    }
  }

  int columns_, rows_;
  bool utf8_;
  std::vector<unsigned char> dots_, marks_;
};

void DrawSeries(const Series& series, const Axes& axes, Canvas& canvas) {
  if (series.style == Series::Style::kMarkers) {
    for (const Point& p : series.points) {
      if (axes.Show(p)) canvas.Mark(axes.x.At(p.x), axes.y.At(p.y));
    }
    return;
  }
  const std::vector<Point> points = Thinned(series.points, axes, canvas.width());
  for (size_t i = 0; i < points.size(); ++i) {
    const Point &from = points[i == 0 ? 0 : i - 1], &to = points[i];
    canvas.Line(axes.x.At(from.x), axes.y.At(from.y), axes.x.At(to.x), axes.y.At(to.y));
  }
}

/// "title   . training   o held out"
std::string Legend(const Chart& chart, bool utf8) {
  std::string text = chart.title;
  if (!chart.ramp.empty()) return text;
  for (const Series& series : chart.series) {
    if (series.points.empty()) continue;
    const bool line = series.style != Series::Style::kMarkers;
    text += fmt::format("   {} {}", line ? (utf8 ? "⠒⠒" : "..") : (utf8 ? "●" : "o"), series.name);
  }
  return text;
}

/// Tick labels under the axis, each centred at its place unless it would run into the one before.
std::string TickRow(const Axis& axis, int columns) {
  std::string row(columns + 8, ' ');
  size_t free_from = 0;
  for (double tick : axis.ticks) {
    const std::string label = fmt::format("{:g}", tick);
    const int centre = static_cast<int>(axis.At(tick) * (columns - 1));
    const size_t at = std::max(0, centre - static_cast<int>(label.size()) / 2);
    if (at < free_from || at + label.size() > row.size()) continue;
    row.replace(at, label.size(), label);
    free_from = at + label.size() + 2;
  }
  return row.substr(0, row.find_last_not_of(' ') + 1);
}

std::string Escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    result += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return result;
}

}  // namespace

std::string DrawChart(const Chart& chart, int columns, int rows, bool utf8) {
  constexpr int kMargin = 8;  // labels of the y axis
  const std::optional<Axes> axes = AxesOf(chart, 6, 6);
  if (!axes) return "";
  // Title, axis, tick labels and the axis's name take four rows; the last tick label may stand out to the
  // right.
  Canvas canvas(std::max(10, columns - kMargin - 4), std::max(4, rows - 4), utf8);
  for (const Series& series : chart.series) DrawSeries(series, *axes, canvas);

  const int height = std::max(4, rows - 4), width = std::max(10, columns - kMargin - 4);
  std::map<int, std::string> labels;
  for (double tick : axes->y.ticks) {
    labels[std::min(height - 1, static_cast<int>((1 - axes->y.At(tick)) * height))] =
        fmt::format("{:g}", tick);
  }
  std::string text = fmt::format("{:{}}{}\n", "", kMargin, Legend(chart, utf8));
  for (int row = 0; row < height; ++row) {
    const bool tick = labels.contains(row);
    const char* axis = utf8 ? (tick ? "┤" : "│") : (tick ? "+" : "|");
    text += fmt::format("{:>{}} {}{}\n", tick ? labels[row] : "", kMargin - 2, axis, canvas.Row(row));
  }
  text += fmt::format("{:{}}{}", "", kMargin - 1, utf8 ? "└" : "+");
  for (int i = 0; i < width; ++i) text += utf8 ? "─" : "-";
  text += fmt::format("\n{:{}}{}\n", "", kMargin, TickRow(axes->x, width));
  text += fmt::format("{:{}}{} over {}\n", "", kMargin, chart.y_label, chart.x_label);
  return text;
}

namespace {

constexpr double kWidth = 860, kHeight = 480, kLeft = 70, kRight = 25, kTop = 55, kBottom = 60;

struct Style {
  std::string line, pale;
};
const Style kStyles[] = {{"#1f5fa8", "#a9c7e8"}, {"#d9541e", "#f2b89d"}, {"#2e8b57", "#a9d6bc"}};

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

double X(const Axes& axes, double x) { return kLeft + axes.x.At(x) * (kWidth - kLeft - kRight); }
double Y(const Axes& axes, double y) { return kHeight - kBottom - axes.y.At(y) * (kHeight - kTop - kBottom); }

std::string Path(const Axes& axes, const std::vector<Point>& points, const std::string& colour,
                 double width) {
  std::string path;
  for (const Point& p : points) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", X(axes, p.x), Y(axes, p.y));
  }
  return fmt::format(
      "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"/>\n", path,
      colour, width);
}

std::string Text(double x, double y, const char* anchor, int size, const std::string& text,
                 const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\"{}>{}</text>\n", x,
                     y, anchor, size, more, Escaped(text));
}

std::string Grid(const Chart& chart, const Axes& axes) {
  constexpr const char* kGridLine =
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#e3e3e3\"/>\n";
  const double bottom = kHeight - kBottom, right = kWidth - kRight;
  std::string svg;
  for (double tick : axes.x.ticks) {
    const double x = X(axes, tick);
    svg += fmt::format(kGridLine, x, kTop, x, bottom) +
           Text(x, bottom + 18, "middle", 12, fmt::format("{:g}", tick));
  }
  for (double tick : axes.y.ticks) {
    const double y = Y(axes, tick);
    svg += fmt::format(kGridLine, kLeft, y, right, y) +
           Text(kLeft - 8, y + 4, "end", 12, fmt::format("{:g}", tick));
  }
  svg += fmt::format("<path d=\"M{0} {1}V{2}H{3}\" fill=\"none\" stroke=\"#444\"/>\n", kLeft, kTop, bottom,
                     right);
  svg += Text((kLeft + right) / 2, kHeight - 18, "middle", 13, chart.x_label);
  const std::string turned = fmt::format(" transform=\"rotate(-90 20 {})\"", (kTop + bottom) / 2);
  return svg + Text(20, (kTop + bottom) / 2, "middle", 13, chart.y_label, turned.c_str());
}

std::string SeriesSvg(const Series& series, const Axes& axes, const Style& style) {
  std::vector<Point> points = Thinned(series.points, axes, 1000);
  if (series.style == Series::Style::kLine) {
    return Path(axes, points, style.pale, 1) + Path(axes, Smoothed(points), style.line, 2);
  }
  if (series.style == Series::Style::kCurve) return Path(axes, points, style.line, 1.5);
  std::string svg = Path(axes, points, style.line, 2);
  for (const Point& p : points) {
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", X(axes, p.x),
                       Y(axes, p.y), style.line);
  }
  return svg;
}

/// A line and a name for each series, one below the other; the only one needs none.
std::string LegendSvg(const Chart& chart) {
  if (chart.series.size() == 1) return "";
  std::string svg;
  double y = kTop + 20;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    if (chart.series[i].points.empty()) continue;
    svg += fmt::format("<path d=\"M{:.1f} {:.1f}h24\" stroke=\"{}\" stroke-width=\"3\"/>\n",
                       kWidth - kRight - 150, y - 4, kStyles[i % std::size(kStyles)].line);
    svg += Text(kWidth - kRight - 118, y, "start", 13, chart.series[i].name);
    y += 20;
  }
  return svg;
}

/// "layer 0 [all colours] 11", above the chart's right end.
std::string RampLegendSvg(const Chart& chart) {
  constexpr double kBar = 120, kHigh = 10, kBase = 32;
  const std::string &first = chart.series.front().name, &last = chart.series.back().name;
  const double end = kWidth - kRight - 8 * static_cast<double>(last.size()) - 6;
  std::string svg = "<defs><linearGradient id=\"ramp\">";
  for (int i = 0; i < static_cast<int>(std::size(kRamp)); ++i) {
    const double part = i / (std::size(kRamp) - 1.0);
    svg += fmt::format("<stop offset=\"{}\" stop-color=\"{}\"/>", part, RampColour(part));
  }
  svg += fmt::format(
      "</linearGradient></defs>\n<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" rx=\"2\" "
      "fill=\"url(#ramp)\"/>\n",
      end - kBar, kBase - kHigh, kBar, kHigh);
  return svg + Text(end - kBar - 8, kBase, "end", 13, chart.ramp + " " + first) +
         Text(end + 8, kBase, "start", 13, last);
}

}  // namespace

std::string ChartSvg(const Chart& chart) {
  const Axis unit{Scale::kLinear, 0, 1, {0, 1}};
  const Axes axes = AxesOf(chart, 8, 6).value_or(Axes{unit, unit});
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"Helvetica, Arial, sans-serif\" fill=\"#222\">\n<rect width=\"{0}\" height=\"{1}\" "
      "fill=\"#ffffff\"/>\n",
      kWidth, kHeight);
  svg += Text(kLeft, 32, "start", 17, chart.title) + Grid(chart, axes);
  const size_t count = chart.series.size();
  const bool ramp = !chart.ramp.empty() && count > 1;
  for (size_t i = 0; i < count; ++i) {
    if (chart.series[i].points.empty()) continue;
    const std::string colour =
        ramp ? RampColour(static_cast<double>(i) / static_cast<double>(count - 1)) : "";
    svg += SeriesSvg(chart.series[i], axes, ramp ? Style{colour, colour} : kStyles[i % std::size(kStyles)]);
  }
  return svg + (ramp ? RampLegendSvg(chart) : LegendSvg(chart)) + "</svg>\n";
}

}  // namespace linnet
