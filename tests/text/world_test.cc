#include "text/world.h"

#include <gtest/gtest.h>

#include "formats/refusal.h"

namespace linnet {
namespace {

using Tokens = std::vector<std::string>;

/// The tokens of a file, from id 1 on.
Tokens Parsed(std::string_view text) {
  Tokens tokens = ParseWorldVocabulary(text, "v.txt");
  EXPECT_EQ(tokens.at(0), "");
  return {tokens.begin() + 1, tokens.end()};
}

TEST(WorldVocabulary, ReadsPythonLiterals) {
  EXPECT_EQ(Parsed("1 'a' 1\n2 \"it's\" 4\n"), (Tokens{"a", "it's"}));
  EXPECT_EQ(Parsed(R"(1 '\x80' 2)"), (Tokens{"\u0080"}));  // a character
  EXPECT_EQ(Parsed(R"(1 b'\x80' 1)"), (Tokens{"\x80"}));   // a byte
  EXPECT_EQ(Parsed(R"(1 '\t\n\r\\\'\"\a\b\f\v' 10)"), (Tokens{"\t\n\r\\'\"\a\b\f\v"}));
  EXPECT_EQ(Parsed(R"(1 '\u2002\U0001F600' 7)"), (Tokens{"\u2002\U0001F600"}));
  EXPECT_EQ(Parsed(R"(1 b'\u2002' 6)"), (Tokens{"\\u2002"}));  // no escape among bytes
  EXPECT_EQ(Parsed(R"(1 '\$ \8' 5)"), (Tokens{"\\$ \\8"}));    // none at all
  EXPECT_EQ(Parsed(R"(1 '\101\0' 2)"), (Tokens{std::string("A\0", 2)}));
  EXPECT_EQ(Parsed("1 ' ' 1\n2 '   ' 3\n3 ' 7 8' 4"), (Tokens{" ", "   ", " 7 8"}));
  EXPECT_EQ(Parsed("1 '中' 3"), (Tokens{"中"}));
}

TEST(WorldVocabulary, LinesMayEndInCrLfAndComeInAnyOrder) {
  EXPECT_EQ(Parsed("3 'c' 1\r\n1 'a' 1\r\n\r\n"), (Tokens{"a", "", "c"}));
}

TEST(WorldVocabulary, RefusesWhatIsMalformed) {
  const std::pair<const char*, const char*> cases[] = {
      {"1 'a' 2", "has 1 bytes, but the line says 2"},
      {"1 'a'", "an id, a literal and a length"},
      {"1", "an id, a literal and a length"},
      {"x 'a' 1", "no number"},
      {"1 'a' 1x", "no number"},
      {"1 a 1", "literal"},
      {"1 'a 1", "literal"},
      {"1 'a'b' 3", "literal"},
      {"1 'a' 'b' 2", "literal"},
      {"1 f'a' 1", "literal"},
      {"1 '' 0", "empty"},
      {R"(1 '\x4' 1)", "literal"},
      {R"(1 '\x+4' 1)", "literal"},
      {R"(1 '\ud800' 3)", "literal"},
      {R"(1 '\U00110000' 4)", "literal"},
      {R"(1 '\' 1)", "literal"},
      {"1 '\xFF' 1", "literal"},
      {"1 b'\u00e9' 2", "literal"},
      {"0 'a' 1", "an id must be at least 1"},
      {"99999999999 'a' 1", "an id must be"},
      {"1 'a' 1\n1 'b' 1", "v.txt:2: the id 1 is there twice"},
      {"1 'a' 1\n2 'a' 1", "v.txt:2: the token of id 2 is there already"},
  };
  for (const auto& [text, message] : cases) {
    EXPECT_TRUE(Refuses([&text = text] { ParseWorldVocabulary(text, "v.txt"); }, message)) << text;
  }
}

/// Every byte at its value + 1, then `more`.
Tokens ByteTokens(const Tokens& more) {
  Tokens tokens(257);
  for (int i = 0; i < 256; ++i) tokens[i + 1] = static_cast<char>(i);
  tokens.insert(tokens.end(), more.begin(), more.end());
  return tokens;
}

TEST(WorldTokenizer, TakesTheLongestTokenFromTheLeft) {
  const WorldTokenizer tokenizer("w", ByteTokens({"ab", "abcd", "bc"}));
  EXPECT_EQ(tokenizer.vocab(), 260);
  EXPECT_EQ(tokenizer.Encode("abcabcd"), (std::vector<int>{257, 'c' + 1, 258}));
  EXPECT_EQ(tokenizer.Encode("\xFF"), (std::vector<int>{256}));
  EXPECT_EQ(tokenizer.Decode(std::vector<int>{257, 0, 256}), "ab\xFF");
  EXPECT_EQ(tokenizer.SpecialName(0), "<|endoftext|>");
  EXPECT_TRUE(Refuses([&] { tokenizer.Decode(std::vector<int>{260}); }, "[w] there is no token 260"));
  EXPECT_TRUE(Refuses([&] { tokenizer.Decode(std::vector<int>{-1}); }, "no token -1"));
}

TEST(WorldTokenizer, APieceOfATextKeepsWhatMayBecomeALongerToken) {
  const WorldTokenizer tokenizer("w", ByteTokens({"ab", "abcd"}));
  std::vector<int> ids;
  EXPECT_EQ(tokenizer.EncodeSome("xyabc", true, ids), 2u);
  EXPECT_EQ(ids, (std::vector<int>{'x' + 1, 'y' + 1}));
}

TEST(WorldTokenizer, NeedsEveryByteAndIgnoresPadding) {
  Tokens tokens = ByteTokens({"", ""});
  tokens[0] = "<s>";  // as in GGUF files
  const WorldTokenizer tokenizer("w", tokens);
  EXPECT_EQ(tokenizer.vocab(), 257);
  EXPECT_EQ(tokenizer.Encode("<s>").size(), 3u);
  tokens['a' + 1] = "";
  EXPECT_TRUE(Refuses([&] { WorldTokenizer("w", tokens); }, "no token is the byte 0x61"));
  EXPECT_TRUE(Refuses([&] { WorldTokenizer("w", {}); }, "no token is the byte 0x00"));
}

}  // namespace
}  // namespace linnet
