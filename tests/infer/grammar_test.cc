#include "infer/grammar.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "infer/grammar_places.h"
#include "text/utf8.h"

namespace linnet {
namespace {

/// Whether the whole text fits.
bool Fits(GrammarPlaces& places, const std::string& text) {
  GrammarPlaces::Place place = places.Begin();
  for (const char c : text) place = places.Next(place, static_cast<uint8_t>(c));
  return places.CanEnd(place);
}

/// The texts of both lists that are on the wrong side.
std::vector<std::string> Wrong(const std::string& grammar, const std::vector<std::string>& fitting,
                               const std::vector<std::string>& others) {
  const Grammar compiled(grammar);
  GrammarPlaces places(compiled);
  std::vector<std::string> wrong;
  for (const std::string& text : fitting)
    if (!Fits(places, text)) wrong.push_back("should fit: " + text);
  for (const std::string& text : others)
    if (Fits(places, text)) wrong.push_back("should not fit: " + text);
  return wrong;
}

/// Whether a grammar is refused, with these words among others.
testing::AssertionResult Refused(const std::string& grammar, const std::string& words) {
  try {
    Grammar compiled(grammar);
  } catch (const Error& error) {
    if (std::string(error.what()).find(words) != std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "it says: " << error.what();
  }
  return testing::AssertionFailure() << "it is accepted";
}

const std::vector<std::string> kNone;

TEST(Grammar, ReadsSequencesAlternativesAndGroups) {
  EXPECT_EQ(Wrong(R"(root ::= "a" ("b" | "cd")  "e"
                            | "x")",
                  {"abe", "acde", "x"}, {"", "a", "ae", "abcde", "xx", "abex"}),
            kNone);
}

TEST(Grammar, ReadsRepetitions) {
  EXPECT_EQ(Wrong(R"(root ::= "a"* "b"+ "c"?)", {"b", "aab", "bbbc", "abc"}, {"", "a", "ac", "bcc"}), kNone);
  EXPECT_EQ(Wrong(R"(root ::= "a"{2} "b"{1,} "c"{,2} "d"{0,1})", {"aab", "aabbbccd", "aabc"},
                  {"ab", "aaab", "aa", "aabccc", "aabdd"}),
            kNone);
  EXPECT_EQ(Wrong(R"(root ::= ("a"? "b"?){3})", {"", "ab", "ababab", "aaa", "bbb"}, {"abababab", "aaaa"}),
            kNone);
}

TEST(Grammar, RepeatsWhatMayBeEmpty) {
  EXPECT_EQ(Wrong(R"(root ::= (""){0,50000} ("a"*)* (""*)* none* none{1000}
                       none ::= "")",
                  {"", "aaa"}, {"b"}),
            kNone);
}

TEST(Grammar, ReadsRecursion) {
  EXPECT_EQ(
      Wrong(R"g(root ::= "(" root? ")" root?)g", {"()", "(())()", "((()())())"}, {"", "(", ")(", "(()"}),
      kNone);
  // Recursion at the end of a rule needs no stack.
  const Grammar compiled(R"(root ::= "a" root | "b")");
  GrammarPlaces places(compiled);
  GrammarPlaces::Place place = places.Begin();
  for (int i = 0; i < 10; ++i) place = places.Next(place, 'a');
  const size_t bytes = places.bytes();
  for (int i = 0; i < 10'000; ++i) place = places.Next(place, 'a');
  EXPECT_EQ(places.bytes(), bytes);
  EXPECT_TRUE(places.CanEnd(places.Next(place, 'b')));
}

TEST(Grammar, RulesMayComeInAnyOrderAndOverSeveralLines) {
  EXPECT_EQ(Wrong("# a comment\nb ::= \"b\" # another\nroot ::=\n  a\n  b | # and\n  b\na::=\"a\"",
                  {"ab", "b"}, {"a", "abb"}),
            kNone);
}

TEST(Grammar, CharactersAreTheBytesOfTheirUtf8) {
  const std::vector<std::string> characters = {"é", "ÿ", "中", "😀"};
  EXPECT_EQ(Wrong("root ::= [é-ÿ中😀-😂]", characters, {"è", "\xC3", "\xA9", "丫", "😃", "a"}), kNone);
  EXPECT_EQ(Wrong("root ::= .", {"a", "\n", "é", "\uFFFF", "\U0010FFFF"},
                  {"", "ab", "\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE0\x80\x80"}),
            kNone);
  EXPECT_EQ(Wrong("root ::= [^a-yé]", {"z", "è", "中"}, {"a", "é", "\xC3"}), kNone);
}

TEST(Grammar, EveryRangeOfCharactersIsExactlyItsBytes) {
  for (const auto& [range, first, last] : {std::tuple{"\\u0041-\\u07FF", 0x41, 0x7FF},
                                           {"\\u0100-\\u1234", 0x100, 0x1234},
                                           {"\\uD7F0-\\uE010", 0xD7F0, 0xE010},
                                           {"\\uFFF0-\\U0001F645", 0xFFF0, 0x1F645},
                                           {"\\u0000-\\U0010FFFF", 0, 0x10FFFF},
                                           {"\\u0FFF-\\u1001", 0xFFF, 0x1001}}) {
    const Grammar compiled("root ::= [" + std::string(range) + "]");
    GrammarPlaces places(compiled);
    for (char32_t code = 0; code <= 0x10FFFF; code += code < 0x12000 ? 1 : 97) {
      std::string text;
      if (!AppendUtf8(code, text)) continue;
      const bool inside = code >= static_cast<char32_t>(first) && code <= static_cast<char32_t>(last);
      ASSERT_EQ(Fits(places, text), inside) << range << " and " << static_cast<uint32_t>(code);
    }
  }
}

TEST(Grammar, KnowsEscapes) {
  EXPECT_EQ(Wrong(R"(root ::= "\n\r\t\"\\" [\]\-\^a] [-x] "\x41\u00e9\U0001F600")",
                  {"\n\r\t\"\\]-Aé😀", "\n\r\t\"\\^xAé😀"}, {"\n\r\t\"\\b-Aé😀"}),
            kNone);
}

TEST(Grammar, RefusesWhatIsMalformedWithItsLine) {
  EXPECT_TRUE(Refused("", "no rule is called root"));
  EXPECT_TRUE(Refused("a ::= \"x\"", "root"));
  EXPECT_TRUE(Refused("root ::= \"a\"\n\n  b", "line 3: the rule 'b' is not defined"));
  EXPECT_TRUE(Refused("root ::= \"a\nroot ::= \"b\"", "line 1: "));
  EXPECT_TRUE(Refused("root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule 'root' is already"));
  EXPECT_TRUE(Refused("root = \"a\"", "::= was expected"));
  EXPECT_TRUE(Refused("root ::= (\"a\"", "a ) is missing"));
  EXPECT_TRUE(Refused("root ::= \"a\")", ") without its ("));
  EXPECT_TRUE(Refused("root ::= [b-a]", "ends before it begins"));
  EXPECT_TRUE(Refused("root ::= []", "no character"));
  EXPECT_TRUE(Refused("root ::= [^\\x00-\\U0010FFFF]", "no character"));
  EXPECT_TRUE(Refused("root ::= [a", "does not end"));
  EXPECT_TRUE(Refused("root ::= \"\\q\"", "\\q has no meaning"));
  EXPECT_TRUE(Refused("root ::= \"\\uD800\"", "no character D800"));
  EXPECT_TRUE(Refused("root ::= \"\\u12\"", "4 hexadecimal digits"));
  EXPECT_TRUE(Refused("root ::= \"a\"{3,1}", "at least more than at most"));
  EXPECT_TRUE(Refused("root ::= \"a\"{999999999}", "at most 100000"));
  EXPECT_TRUE(Refused("root ::= \"a\"**", "two repetitions"));
  EXPECT_TRUE(Refused("root ::= * \"a\"", "has no meaning here"));
  EXPECT_TRUE(Refused("root ::= \"\xFF\"", "no UTF-8"));
}

TEST(Grammar, RefusesLeftRecursionShowingIt) {
  EXPECT_TRUE(Refused("root ::= root \"a\" | \"b\"", "(root -> root)"));
  EXPECT_TRUE(Refused("root ::= \"x\" a\na ::= \"y\"? b* c\nb ::= \"z\"\nc ::= a \"z\" | \"q\"",
                      "line 2: the rule 'a' calls itself before it has read anything (a -> c -> a)"));
  // Behind a rule that cannot be empty it is none.
  EXPECT_NO_THROW(Grammar("root ::= a root? \"x\"\na ::= \"a\""));
}

TEST(Grammar, RefusesWhatNeverEnds) {
  EXPECT_TRUE(Refused("root ::= \"a\" | b\nb ::= \"b\" b", "line 2: a text of the rule 'b' never ends"));
}

TEST(Grammar, RefusesWhatGrowsTooLarge) {
  EXPECT_TRUE(Refused("root ::= ((\"a\"{1000}){1000}){1000}", "ask for fewer repetitions"));
  EXPECT_TRUE(Refused("root ::= " + std::string(1000, '('), "nested more than"));
}

TEST(Grammar, TellsWhenATextCanBeReadInTooManyWays) {
  const Grammar compiled(R"(root ::= "a" root "b" | "a" root "c" | "a")");
  GrammarPlaces places(compiled);
  GrammarPlaces::Place place = places.Begin();
  EXPECT_THROW(for (int i = 0; i < 100; ++i) place = places.Next(place, 'a'), Error);
  // The table is still of use.
  EXPECT_TRUE(Fits(places, "aaabc"));
}

TEST(Grammar, APlaceMovesToAnotherTable) {
  const Grammar compiled(R"g(root ::= "(" root? ")" root? | "x")g");
  GrammarPlaces places(compiled), others(compiled);
  Fits(others, "(((x)))");
  GrammarPlaces::Place place = places.Begin();
  for (const char c : std::string("((x)(x")) place = places.Next(place, static_cast<uint8_t>(c));
  GrammarPlaces::Place moved = places.CopyTo(others, place);
  EXPECT_FALSE(others.CanEnd(moved));
  moved = others.Next(others.Next(moved, ')'), ')');
  EXPECT_TRUE(others.CanEnd(moved));
  EXPECT_EQ(others.Next(moved, ')'), GrammarPlaces::kNowhere);
}

}  // namespace
}  // namespace linnet
