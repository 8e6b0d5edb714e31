#include "text/trie.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace linnet {
namespace {

/// The slow twin.
Trie::Match Longest(const std::vector<std::string>& strings, std::string_view text) {
  Trie::Match best;
  for (size_t i = 0; i < strings.size(); ++i) {
    if (text.starts_with(strings[i]) && strings[i].size() > best.length)
      best = {static_cast<int>(i), strings[i].size()};
  }
  return best;
}

void ExpectSame(const std::vector<std::string>& strings, std::string_view text) {
  const Trie trie(strings);
  for (size_t at = 0; at <= text.size(); ++at) {
    const Trie::Match actual = trie.Longest(text.substr(at)), expected = Longest(strings, text.substr(at));
    EXPECT_EQ(actual.value, expected.value) << at;
    EXPECT_EQ(actual.length, expected.length) << at;
  }
}

TEST(Trie, FindsTheLongestString) {
  ExpectSame({"a", "abc", "abcde", "b", "bcd"}, "abcdabcdexab");
  ExpectSame({"abc", "abc", ""}, "abcab");  // of equal ones the first, and never an empty one
  ExpectSame({}, "abc");
  using std::string_literals::operator""s;
  ExpectSame({"\0"s, "\0\0\xFF"s, "\xFF"s, "\xFF\0"s}, "\0\0\0\xFF\0\xFF\xFF\0\0"s);
}

// Random strings of few and of all letters: long common beginnings, and nodes with many children.
TEST(Trie, AgreesWithTryingAllStrings) {
  Random random(3);
  for (uint64_t letters : {1, 2, 256}) {
    const auto text = [&](uint64_t most) {
      std::string bytes(1 + random.Below(most), '\0');
      for (char& c : bytes) c = static_cast<char>(random.Below(letters));
      return bytes;
    };
    std::vector<std::string> strings;
    for (int i = 0; i < 1000; ++i) strings.push_back(text(letters == 256 ? 3 : 12));
    ExpectSame(strings, text(300) + text(300));
  }
}

}  // namespace
}  // namespace linnet
