#include "infer/stop_filter.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "formats/refusal.h"

namespace linnet {
namespace {

struct Filtered {
  std::string text;
  bool stopped;
  bool operator==(const Filtered&) const = default;
};

Filtered Through(const std::vector<std::string>& stops, const std::string& bytes, size_t step) {
  StopFilter filter(stops);
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += step)
    text += filter.Push(std::string_view(bytes).substr(i, step));
  const bool stopped = filter.stopped();
  return {text + filter.Finish(), stopped};
}

TEST(StopFilter, WithoutStopsEverythingPassesAtOnce) {
  StopFilter filter({});
  EXPECT_EQ(filter.Push("abc"), "abc");
  EXPECT_FALSE(filter.stopped());
}

TEST(StopFilter, HoldsBackOnlyWhatMayBeAStop) {
  StopFilter filter({"\n\nUser:"});
  EXPECT_EQ(filter.Push("Hello\n"), "Hello");
  EXPECT_EQ(filter.Push("\nUse"), "");
  EXPECT_EQ(filter.Push("less"), "\n\nUseless");
  EXPECT_EQ(filter.Push("\n\n"), "");
  EXPECT_EQ(filter.Push("User: more"), "");
  EXPECT_TRUE(filter.stopped());
  EXPECT_EQ(filter.Push("more"), "");
  EXPECT_EQ(filter.Finish(), "");
}

TEST(StopFilter, EndGivesWhatWasHeldBack) {
  EXPECT_EQ(Through({"END"}, "the EN", 1), (Filtered{"the EN", false}));
  EXPECT_EQ(Through({"END"}, "the END", 1), (Filtered{"the ", true}));
}

TEST(StopFilter, OverlappingStarts) {
  for (size_t step : {1, 2, 3, 100}) {
    EXPECT_EQ(Through({"aab"}, "xaaab", step), (Filtered{"xa", true}));
    EXPECT_EQ(Through({"abab!", "b"}, "aab", step), (Filtered{"aa", true}));
    EXPECT_EQ(Through({"a"}, "a", step), (Filtered{"", true}));
  }
}

TEST(StopFilter, WorksOnBytesInsideCharacters) {
  EXPECT_EQ(Through({"\xA9"}, "caf\xC3\xA9!", 1), (Filtered{"caf\xC3", true}));
}

// Against the definition: the text before the first stop string to be complete.
TEST(StopFilter, RandomTextsOfFewLetters) {
  Random random(3);
  const auto word = [&](size_t least, size_t most) {
    std::string text(least + random.Below(most - least + 1), ' ');
    for (char& c : text) c = static_cast<char>('a' + random.Below(2));
    return text;
  };
  for (int round = 0; round < 2000; ++round) {
    const std::vector<std::string> stops = {word(2, 5), word(1, 6)};
    const std::string text = word(0, 24);
    Filtered expected{text, false};
    for (size_t end = 1; end <= text.size() && !expected.stopped; ++end) {
      size_t begin = std::string::npos;
      for (const std::string& stop : stops) begin = std::min(begin, text.substr(0, end).find(stop));
      if (begin != std::string::npos) expected = {text.substr(0, begin), true};
    }
    EXPECT_EQ(Through(stops, text, 1), expected) << text << " " << stops[0] << " " << stops[1];
  }
}

TEST(StopFilter, RefusesAnEmptyStop) {
  EXPECT_TRUE(Refuses([] { StopFilter filter({"a", ""}); }, "a stop string must not be empty"));
}

}  // namespace
}  // namespace linnet
