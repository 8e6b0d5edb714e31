#include "text/gpt2_pieces.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace linnet {
namespace {

using Pieces = std::vector<std::string>;

Pieces Cut(std::string_view text) {
  Pieces pieces;
  while (!text.empty()) {
    const size_t length = FirstGpt2Piece(text);
    pieces.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return pieces;
}

TEST(Gpt2Pieces, Words) {
  EXPECT_EQ(Cut("Hello world"), (Pieces{"Hello", " world"}));
  EXPECT_EQ(Cut("don't we'll I'M 's"), (Pieces{"don", "'t", " we", "'ll", " I", "'", "M", " '", "s"}));
  EXPECT_EQ(Cut("'sabc"), (Pieces{"'s", "abc"}));
  EXPECT_EQ(Cut("x2y 42!?"), (Pieces{"x", "2", "y", " 42", "!?"}));
  EXPECT_EQ(Cut("!'s"), (Pieces{"!'", "s"}));
  EXPECT_EQ(Cut("été ½ 中文"), (Pieces{"été", " ½", " 中文"}));
}

TEST(Gpt2Pieces, WhiteSpaceLeavesItsLastCharacter) {
  EXPECT_EQ(Cut("a   b"), (Pieces{"a", "  ", " b"}));
  EXPECT_EQ(Cut("a\n\nb"), (Pieces{"a", "\n", "\n", "b"}));
  EXPECT_EQ(Cut("a \n b"), (Pieces{"a", " \n", " b"}));
  EXPECT_EQ(Cut("a  "), (Pieces{"a", "  "}));
  EXPECT_EQ(Cut(" "), (Pieces{" "}));
  EXPECT_EQ(Cut("a\tb"), (Pieces{"a", "\t", "b"}));
  EXPECT_EQ(Cut("\u3000\u3000x"), (Pieces{"\u3000", "\u3000", "x"}));
}

TEST(Gpt2Pieces, BytesThatAreNoTextAreOtherCharacters) {
  EXPECT_EQ(Cut("a\xFF!b"), (Pieces{"a", "\xFF!", "b"}));
  EXPECT_EQ(Cut(" \x80"), (Pieces{" \x80"}));
  EXPECT_EQ(Cut("\xE2\x82"), (Pieces{"\xE2\x82"}));  // cut short
}

TEST(Gpt2Border, LiesBeforeWhiteSpaceAfterSomethingVisible) {
  EXPECT_EQ(LastGpt2Border("ab cd"), 2u);
  EXPECT_EQ(LastGpt2Border("ab cd  "), 5u);
  EXPECT_EQ(LastGpt2Border("ab"), 0u);
  EXPECT_EQ(LastGpt2Border("  ab"), 0u);
  EXPECT_EQ(LastGpt2Border("中\n"), 3u);
  EXPECT_EQ(LastGpt2Border("\u3000\n"), 0u);
  EXPECT_EQ(LastGpt2Border("\x80\n"), 1u);
  EXPECT_EQ(LastGpt2Border(""), 0u);
}

// What the border promises, at every place of a text that has all kinds of characters.
TEST(Gpt2Border, CutsNoPiece) {
  const std::string text = "I'm  here\n\n\tx½ \u3000 中 \xFF !'s\r\n  42";
  for (size_t size = 0; size <= text.size(); ++size) {
    const size_t border = LastGpt2Border(std::string_view(text).substr(0, size));
    Pieces pieces = Cut(text.substr(0, border));
    for (const std::string& piece : Cut(text.substr(border))) pieces.push_back(piece);
    EXPECT_EQ(pieces, Cut(text)) << size;
  }
}

}  // namespace
}  // namespace linnet
