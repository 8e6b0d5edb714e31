// A glyph is strokes, parted by blanks; a stroke is points of two characters each, x and y. x is a digit; y
// is a character above '2', the baseline: '7' is the height of small letters, '9' that of capitals, '0' the
// depth of descenders. A stroke after ~ is round: its points are the corners that its curve cuts.
#include "cli/stroke_font.h"

#include <algorithm>

#include "text/utf8.h"

namespace linnet {
namespace {

constexpr double kUnit = 0.1, kGap = 1.8, kBlank = 1.4;  // of the size; of a unit

constexpr std::string_view kGlyphs[] = {
    "",                                    // blank
    "0904 0202",                           // !
    "0907 2927",                           // "
    "1912 3932 0747 0444",                 // #
    "~4849090645420203 2:21",              // $
    "5902 ~0709292707 ~3234545232",        // %
    "~521719393704023255",                 // &
    "0907",                                // '
    "~2:070421",                           // (
    "~0:272401",                           // )
    "2824 0745 0547",                      // *
    "2723 0545",                           // +
    "1201",                                // ,
    "0535",                                // -
    "0202",                                // .
    "0149",                                // /
    "~0209494202",                         // 0
    "072922",                              // 1
    "~0709494602 0242",                    // 2
    "~0809494616 ~1646420203",             // 3
    "32390444",                            // 4
    "490906 ~0647420203",                  // 5
    "~4849090242460604",                   // 6
    "094912",                              // 7
    "~0609494606 ~0206464202",             // 8
    "~0302424909054547",                   // 9
    "0606 0202",                           // :
    "1616 1201",                           // ;
    "380532",                              // <
    "0646 0444",                           // =
    "083502",                              // >
    "~080949462624 2222",                  // ?
    "~52020959544447 ~2427474424",         // @
    "022942 1535",                         // A
    "0209 ~09494606 ~06464202",            // B
    "~484909024243",                       // C
    "0209 ~09494202",                      // D
    "49090242 0636",                       // E
    "490902 0636",                         // F
    "~484909024245 4525",                  // G
    "0209 4942 0646",                      // H
    "0209",                                // I
    "~39320204",                           // J
    "0209 4905 1642",                      // K
    "090242",                              // L
    "0209254942",                          // M
    "02094249",                            // N
    "~0209595202",                         // O
    "0209 ~09494505",                      // P
    "~0209595202 3451",                    // Q
    "0209 ~09494505 2542",                 // R
    "~4849090645420203",                   // S
    "0949 2922",                           // T
    "~09024249",                           // U
    "092249",                              // V
    "0912385269",                          // W
    "0942 0249",                           // X
    "092549 2522",                         // Y
    "09490242",                            // Z
    "2:0:0121",                            // [
    "0941",                                // the other /
    "0:2:2101",                            // ]
    "072947",                              // ^
    "0141",                                // _
    "0918",                                // `
    "4742 ~0207474202",                    // a
    "0902 ~0207474202",                    // b
    "~464707024243",                       // c
    "4942 ~0207474202",                    // d
    "0545 ~454707024243",                  // e
    "~391917 1712 0737",                   // f
    "4742 ~42400001 ~0207474202",          // g
    "0902 ~05074744 4442",                 // h
    "0702 0909",                           // i
    "1919 1711 ~111000",                   // j
    "0902 3704 1532",                      // k
    "0902",                                // l
    "0702 ~05073734 3432 ~35376764 6462",  // m
    "0702 ~05074744 4442",                 // n
    "~0207474202",                         // o
    "0700 ~0207474202",                    // p
    "4740 ~0207474202",                    // q
    "0702 ~050737",                        // r
    "~4647070544420203",                   // s
    "1913 ~131232 0737",                   // t
    "~07024245 4742",                      // u
    "072247",                              // v
    "0712375267",                          // w
    "0742 0247",                           // x
    "0722 4710",                           // y
    "07470242",                            // z
    "~3:1:1505 ~05151131",                 // {
    "0:01",                                // |
    "~0:2:2535 ~35252101",                 // }
    "~04163446",                           // ~
};
constexpr std::string_view kBox = "0209494202";

/// Cuts the corners of a line again and again, which makes a quadratic spline of them nearly (Chaikin, 1974).
/// A line that ends where it begins is a ring and has no ends to keep.
std::vector<Point> Rounded(std::vector<Point> points) {
  const bool ring = points.front().x == points.back().x && points.front().y == points.back().y;
  for (int round = 0; round < 3; ++round) {
    std::vector<Point> cut;
    if (!ring) cut.push_back(points.front());
    for (size_t i = 0; i + 1 < points.size(); ++i) {
      const Point &a = points[i], &b = points[i + 1];
      cut.push_back({0.75 * a.x + 0.25 * b.x, 0.75 * a.y + 0.25 * b.y});
      cut.push_back({0.25 * a.x + 0.75 * b.x, 0.25 * a.y + 0.75 * b.y});
    }
    cut.push_back(ring ? cut.front() : points.back());
    points = std::move(cut);
  }
  return points;
}

/// Adds a glyph at the text's end.
void Append(std::string_view glyph, StrokedText& text) {
  double wide = glyph.empty() ? kBlank : 0;
  while (!glyph.empty()) {
    const std::string_view stroke = glyph.substr(0, glyph.find(' '));
    glyph.remove_prefix(std::min(glyph.size(), stroke.size() + 1));
    const bool round = stroke.front() == '~';
    std::vector<Point> points;
    for (size_t i = round; i + 1 < stroke.size(); i += 2) {
      const double x = stroke[i] - '0', y = stroke[i + 1] - '2';
      wide = std::max(wide, x);
      points.push_back({text.width + kUnit * x, kUnit * y});
    }
    text.strokes.push_back(round ? Rounded(points) : points);
  }
  text.width += kUnit * (wide + kGap);
}

}  // namespace

StrokedText StrokesOf(std::string_view text) {
  StrokedText result;
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    text.remove_prefix(character.length);
    const bool known = character.code >= ' ' && character.code < ' ' + std::size(kGlyphs);
    Append(known ? kGlyphs[character.code - ' '] : kBox, result);
  }
  if (result.width > 0) result.width -= kUnit * kGap;
  return result;
}

}  // namespace linnet
