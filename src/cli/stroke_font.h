// Letters made of strokes, for pictures that no text renderer will see: the printable characters of ASCII.
#pragma once

#include <string_view>
#include <vector>

#include "cli/plot.h"

namespace linnet {

/// The lines of a text in units of its size, baseline at y = 0, upwards; capitals are 0.7 high.
struct StrokedText {
  std::vector<std::vector<Point>> strokes;
  double width = 0;
};
/// `text` is UTF-8; a character that is not in ASCII becomes a box.
StrokedText StrokesOf(std::string_view text);

}  // namespace linnet
