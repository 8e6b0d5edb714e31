#include "text/utf8.h"

#include <gtest/gtest.h>

#include <vector>

namespace linnet {
namespace {

using Mode = Utf8Stream::Mode;
constexpr const char* kBad = "\xEF\xBF\xBD";

/// The whole of `bytes`, pushed in pieces of `step` bytes.
std::string Through(Mode mode, const std::string& bytes, size_t step) {
  Utf8Stream stream(mode);
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += step) out += stream.Push(std::string_view(bytes).substr(i, step));
  return out + stream.Finish();
}

TEST(Utf8, HoldsBackExactlyTheIncompleteCharacter) {
  Utf8Stream stream(Mode::kRaw);
  EXPECT_EQ(stream.Push("a\xF0"), "a");
  EXPECT_EQ(stream.Push("\x9F\x90"), "");
  EXPECT_EQ(stream.Push("\xA6"
                        "b"),
            "\xF0\x9F\x90\xA6"
            "b");
  EXPECT_EQ(stream.Push("\xC3"), "");
  EXPECT_EQ(stream.Finish(), "\xC3");
  EXPECT_EQ(stream.Finish(), "");
}

TEST(Utf8, RawKeepsEveryByte) {
  std::string all;
  for (int round = 0; round < 2; ++round) {
    for (int c = 0; c < 256; ++c) all += static_cast<char>(round == 0 ? c : 255 - c);
  }
  for (size_t step : {1, 2, 3, 7, 512}) EXPECT_EQ(Through(Mode::kRaw, all, step), all);
}

TEST(Utf8, ValidTextPassesUnchanged) {
  const std::string text = "a\u00e9\u20ac\U0001F426 \u0800\uFFFF\U00010000\U0010FFFF\x1b\n";
  for (size_t step : {1, 2, 3, 4, 100}) EXPECT_EQ(Through(Mode::kValid, text, step), text);
}

TEST(Utf8, IllFormedBytesAreReplacedAndWhatFollowsIsNot) {
  struct Case {
    std::string bytes, text;
  };
  const std::string bad = kBad;
  const std::vector<Case> cases = {
      {"\x80", bad},                                // a continuation alone
      {"\xFFz", bad + "z"},                         // never a byte of UTF-8
      {"\xC0\xAF", bad + bad},                      // overlong
      {"\xE0\x80\x80", bad + bad + bad},            // overlong
      {"\xED\xA0\x80", bad + bad + bad},            // a surrogate
      {"\xF4\x90\x80\x80", bad + bad + bad + bad},  // beyond U+10FFFF
      {"\xE2\x82z", bad + "z"},                     // cut short: one replacement for its start
      {"\xF0\x9F\x90\xC3\xA9", bad + "\xC3\xA9"},
      {"a\xE2\x82", "a" + bad},  // cut short by the end
  };
  for (const Case& c : cases) {
    for (size_t step : {1, 2, 100})
      EXPECT_EQ(Through(Mode::kValid, c.bytes, step), c.text) << testing::PrintToString(c.bytes);
  }
}

TEST(Utf8, TerminalGetsNoControlCharacters) {
  const std::string bad = kBad;
  EXPECT_EQ(Through(Mode::kTerminal,
                    "a\tb\r\n\x1b[2Jc\x7f\xC2\x9B"
                    "d\u00e9",
                    1),
            "a\tb\r\n" + bad + "[2Jc" + bad + bad + "d\u00e9");
  EXPECT_EQ(Through(Mode::kTerminal, std::string("\0", 1), 1), bad);
}

}  // namespace
}  // namespace linnet
