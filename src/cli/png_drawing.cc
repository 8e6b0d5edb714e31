// A picture as points of colour. A line covers a pixel by how near it comes to the pixel's middle, which
// makes smooth edges; all segments of a curve cover together, so that it is as dark where they meet as
// elsewhere.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cli/drawing.h"
#include "cli/stroke_font.h"
#include "formats/png.h"

namespace linnet {
namespace {

constexpr int kScale = 2;  // pixels a unit
constexpr const char* kInk = "#222222";

struct Colour {
  double channels[3];
};

Colour ColourOf(const std::string& name) {
  const auto number = static_cast<uint32_t>(std::stoul(name.substr(1), nullptr, 16));
  return {{static_cast<double>(number >> 16 & 255), static_cast<double>(number >> 8 & 255),
           static_cast<double>(number & 255)}};
}

double Distance(const Point& p, const Point& a, const Point& b) {
  const double dx = b.x - a.x, dy = b.y - a.y, square = dx * dx + dy * dy;
  const double part = square > 0 ? std::clamp(((p.x - a.x) * dx + (p.y - a.y) * dy) / square, 0.0, 1.0) : 0;
  return std::hypot(p.x - a.x - part * dx, p.y - a.y - part * dy);
}

/// The line itself if dash is 0, else its pieces so long, with gaps of half the length.
std::vector<std::vector<Point>> Pieces(const std::vector<Point>& points, double dash) {
  if (dash <= 0 || points.size() < 2) return {points};
  std::vector<std::vector<Point>> pieces{{points[0]}};
  bool drawn = true;
  double left = dash;  // of the piece, or the gap
  for (size_t i = 1; i < points.size(); ++i) {
    Point from = points[i - 1];
    for (;;) {
      const double length = std::hypot(points[i].x - from.x, points[i].y - from.y);
      if (length <= left) {
        left -= length;
        if (drawn) pieces.back().push_back(points[i]);
        break;
      }
      const double part = left / length;
      from = {from.x + part * (points[i].x - from.x), from.y + part * (points[i].y - from.y)};
      if (drawn) {
        pieces.back().push_back(from);
      } else {
        pieces.push_back({from});
      }
      drawn = !drawn;
      left = drawn ? dash : dash / 2;
    }
  }
  return pieces;
}

class PngDrawing : public Drawing {
 public:
  PngDrawing(int width, int height)
      : width_(width * kScale),
        height_(height * kScale),
        pixels_(static_cast<size_t>(3) * width_ * height_, 255),
        cover_(static_cast<size_t>(width_) * height_, 0) {}

  void Line(Point from, Point to, const std::string& colour, double width) override {
    Curve({from, to}, colour, width, 0);
  }

  void Curve(const std::vector<Point>& points, const std::string& colour, double width,
             double dash) override {
    for (const std::vector<Point>& piece : Pieces(points, dash)) Cover(piece, width / 2);
    Paint(ColourOf(colour));
  }

  void Disc(Point centre, double radius, const std::string& colour) override {
    Curve({centre}, colour, 2 * radius, 0);
  }

  void Text(Point at, Anchor anchor, int size, const std::string& text, bool upwards) override {
    const StrokedText strokes = StrokesOf(text);
    const double start = anchor == Anchor::kStart ? 0 : -strokes.width / (anchor == Anchor::kEnd ? 1 : 2);
    for (const std::vector<Point>& stroke : strokes.strokes) {
      std::vector<Point> placed;
      for (const Point& p : stroke) {
        const double along = size * (start + p.x), above = size * p.y;
        placed.push_back(upwards ? Point{at.x - above, at.y - along} : Point{at.x + along, at.y - above});
      }
      Cover(placed, size * 0.042);
    }
    Paint(ColourOf(kInk));
  }

  void Bar(Point corner, double width, double height, const std::vector<std::string>& colours) override {
    const int steps = static_cast<int>(width * kScale);
    for (int i = 0; i < steps; ++i) {
      const double place = (i + 0.5) / steps * static_cast<double>(colours.size() - 1);
      const auto from = static_cast<size_t>(place);
      const Colour a = ColourOf(colours[from]), b = ColourOf(colours[from + 1]);
      Colour mixed{};
      for (int c = 0; c < 3; ++c) {
        mixed.channels[c] =
            a.channels[c] + (place - static_cast<double>(from)) * (b.channels[c] - a.channels[c]);
      }
      const double x = corner.x + (i + 0.5) / kScale;
      Cover({{x, corner.y}, {x, corner.y + height}}, 0.5 / kScale);
      Paint(mixed);
    }
  }

  std::string Finish() override { return Png(width_, height_, pixels_); }

 private:
  /// The pixels that a line reaches, its ends round, are covered.
  void Cover(const std::vector<Point>& points, double radius) {
    for (size_t i = 0; i < std::max<size_t>(1, points.size() - 1) && !points.empty(); ++i) {
      const Point &from = points[i], &to = points[std::min(i + 1, points.size() - 1)];
      Segment({from.x * kScale, from.y * kScale}, {to.x * kScale, to.y * kScale}, radius * kScale);
    }
  }

  void Segment(Point from, Point to, double radius) {
    const auto low = [&](double a, double b) {
      return std::max(0, static_cast<int>(std::floor(std::min(a, b) - radius - 1)));
    };
    const auto high = [&](double a, double b, int end) {
      return std::min(end, static_cast<int>(std::ceil(std::max(a, b) + radius + 1)));
    };
    for (int y = low(from.y, to.y); y < high(from.y, to.y, height_); ++y) {
      for (int x = low(from.x, to.x); x < high(from.x, to.x, width_); ++x) {
        const double reach = radius + 0.5 - Distance({x + 0.5, y + 0.5}, from, to);
        if (reach <= 0) continue;
        const size_t at = static_cast<size_t>(y) * width_ + x;
        if (cover_[at] == 0) covered_.push_back(at);
        cover_[at] = std::max(cover_[at], static_cast<float>(std::min(1.0, reach)));
      }
    }
  }

  /// Colours what was covered.
  void Paint(const Colour& colour) {
    for (const size_t at : covered_) {
      for (size_t c = 0; c < 3; ++c) {
        uint8_t& channel = pixels_[3 * at + c];
        channel = static_cast<uint8_t>(std::lround(channel + cover_[at] * (colour.channels[c] - channel)));
      }
      cover_[at] = 0;
    }
    covered_.clear();
  }

  int width_, height_;
  std::vector<uint8_t> pixels_;
  std::vector<float> cover_;     // of each pixel, 0 to 1
  std::vector<size_t> covered_;  // the pixels that are
};

}  // namespace

std::unique_ptr<Drawing> NewPngDrawing(int width, int height) {
  return std::make_unique<PngDrawing>(width, height);
}

}  // namespace linnet
