// What a picture of a chart is drawn with, be it made of words (SVG) or of points of colour (PNG). Places are
// in pixels from the top left corner; colours are "#rrggbb".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/plot.h"

namespace linnet {

enum class Anchor { kStart, kMiddle, kEnd };

class Drawing {
 public:
  virtual ~Drawing() = default;

  virtual void Line(Point from, Point to, const std::string& colour, double width) = 0;
  /// A line through many points, its corners round; with a `dash` above 0, of pieces so long with gaps of
  /// half the length.
  virtual void Curve(const std::vector<Point>& points, const std::string& colour, double width,
                     double dash) = 0;
  virtual void Disc(Point centre, double radius, const std::string& colour) = 0;
  /// Black text whose baseline starts, has its middle or ends at `at`; it runs up where `upwards`.
  virtual void Text(Point at, Anchor anchor, int size, const std::string& text, bool upwards = false) = 0;
  /// A bar that goes through the colours, from left to right.
  virtual void Bar(Point corner, double width, double height, const std::vector<std::string>& colours) = 0;

  /// The file.
  virtual std::string Finish() = 0;
};

/// White, of `width` x `height`.
std::unique_ptr<Drawing> NewSvgDrawing(int width, int height);
/// The same with two pixels a unit in each direction, for sharp text on any screen.
std::unique_ptr<Drawing> NewPngDrawing(int width, int height);

}  // namespace linnet
