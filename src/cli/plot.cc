#include "cli/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "cli/plot_axes.h"

namespace linnet {
namespace {

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
  if (series.style == Series::Style::kMarkers || series.style == Series::Style::kDots) {
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
    if (series.points.empty() || series.name.empty()) continue;
    const bool line = series.style < Series::Style::kMarkers;
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

}  // namespace linnet
