#include <fmt/format.h>

#include "cli/drawing.h"

namespace linnet {
namespace {

std::string Escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    result += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  }
  return result;
}

class SvgDrawing : public Drawing {
 public:
  SvgDrawing(int width, int height)
      : svg_(fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
                         "height=\"{1}\" font-family=\"Helvetica, Arial, sans-serif\" fill=\"#222\">\n"
                         "<rect width=\"{0}\" height=\"{1}\" fill=\"#ffffff\"/>\n",
                         width, height)) {}

  void Line(Point from, Point to, const std::string& colour, double width) override {
    svg_ += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"{}\"/>\n",
        from.x, from.y, to.x, to.y, colour, width);
  }

  void Curve(const std::vector<Point>& points, const std::string& colour, double width,
             double dash) override {
    std::string path;
    for (const Point& p : points) path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", p.x, p.y);
    svg_ += fmt::format(
        "<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{}/>\n",
        path, colour, width, dash > 0 ? fmt::format(" stroke-dasharray=\"{} {}\"", dash, dash / 2) : "");
  }

  void Disc(Point centre, double radius, const std::string& colour) override {
    svg_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\"/>\n", centre.x, centre.y,
                        radius, colour);
  }

  void Text(Point at, Anchor anchor, int size, const std::string& text, bool upwards) override {
    constexpr const char* kAnchors[] = {"start", "middle", "end"};
    const std::string turned =
        upwards ? fmt::format(" transform=\"rotate(-90 {:.1f} {:.1f})\"", at.x, at.y) : "";
    svg_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" font-size=\"{}\"{}>{}</text>\n",
                        at.x, at.y, kAnchors[static_cast<int>(anchor)], size, turned, Escaped(text));
  }

  void Bar(Point corner, double width, double height, const std::vector<std::string>& colours) override {
    svg_ += "<defs><linearGradient id=\"bar\">";
    for (size_t i = 0; i < colours.size(); ++i) {
      svg_ += fmt::format("<stop offset=\"{}\" stop-color=\"{}\"/>",
                          static_cast<double>(i) / static_cast<double>(colours.size() - 1), colours[i]);
    }
    svg_ += fmt::format(
        "</linearGradient></defs>\n<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{}\" height=\"{}\" rx=\"2\" "
        "fill=\"url(#bar)\"/>\n",
        corner.x, corner.y, width, height);
  }

  std::string Finish() override { return svg_ + "</svg>\n"; }

 private:
  std::string svg_;
};

}  // namespace

std::unique_ptr<Drawing> NewSvgDrawing(int width, int height) {
  return std::make_unique<SvgDrawing>(width, height);
}

}  // namespace linnet
