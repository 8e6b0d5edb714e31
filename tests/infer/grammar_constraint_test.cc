#include "infer/grammar_constraint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/check.h"
#include "base/random.h"
#include "infer/grammar_places.h"
#include "infer/vocabularies.h"

namespace linnet {
namespace {

constexpr const char* kJson = R"(
root   ::= value
value  ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)*)? "}" ws
member ::= string ":" ws value ws
array  ::= "[" ws (value ws ("," ws value ws)*)? "]"
string ::= "\"" ([^"\\\x00-\x1F] | "\\" ["\\/bfnrt])* "\""
number ::= "-"? ("0" | [1-9] [0-9]*) ("." [0-9]+)?
ws     ::= [ \n]*
)";

const std::vector<std::string> kWords = {"{\"",      "\": ", "\",\"", "\"}", "\"}]",  "tru",  "true",
                                         "12",       "3.",   ", \"",  "ab",  "é",     "\xC3", "中文",
                                         "\xE4\xB8", "]}",   "]]]",   "[[",  "null}", "\"\"", "}\"",
                                         "\\\"",     "\\",   "   ",   "a\"", "a\":1", "0,0"};

struct Matched {
  explicit Matched(const std::string& grammar, const std::vector<std::string>& words = kWords)
      : tokenizer(Words(words)),
        matcher(GrammarMatcher::Make(Grammar(grammar), std::make_shared<VocabularyTree>(tokenizer))) {}
  WorldTokenizer tokenizer;
  std::shared_ptr<GrammarMatcher> matcher;
};

std::vector<bool> Allowed(const Constraint& constraint, const Tokenizer& tokenizer) {
  std::vector<float> logits(static_cast<size_t>(tokenizer.vocab()) + 3);
  constraint.Mask(logits);
  std::vector<bool> allowed;
  for (const float x : logits) allowed.push_back(x == 0);
  return allowed;
}

/// What MaskOf does with trees and stacks, token by token.
std::vector<bool> AllowedNaively(const Grammar& grammar, const std::string& text,
                                 const Tokenizer& tokenizer) {
  GrammarPlaces places(grammar);
  GrammarPlaces::Place place = places.Begin();
  for (const char c : text) place = places.Next(place, static_cast<uint8_t>(c));
  std::vector<bool> allowed(static_cast<size_t>(tokenizer.vocab()) + 3);
  allowed[0] = places.CanEnd(place);
  for (int token = 1; token < tokenizer.vocab(); ++token) {
    GrammarPlaces::Place after = place;
    for (const char c : tokenizer.Decode({&token, 1})) after = places.Next(after, static_cast<uint8_t>(c));
    allowed[static_cast<size_t>(token)] = after != GrammarPlaces::kNowhere;
  }
  return allowed;
}

TEST(GrammarConstraint, AllowsWhatATokenByTokenSearchAllows) {
  for (const char* text :
       {kJson, R"(root ::= "a"? ("b" root)? | [^"]{2,4} "}" )", R"(root ::= . root | "")"}) {
    const Matched json(text);
    const Grammar grammar(text);
    Random random(3);
    for (int run = 0; run < 30; ++run) {
      const auto constraint = json.matcher->NewText();
      std::string written;
      for (int i = 0; i < 25 && !constraint->ended(); ++i) {
        const std::vector<bool> allowed = Allowed(*constraint, json.tokenizer);
        ASSERT_EQ(allowed, AllowedNaively(grammar, written, json.tokenizer)) << "after " << written;
        std::vector<int> tokens;
        for (size_t token = 1; token < allowed.size(); ++token)
          if (allowed[token]) tokens.push_back(static_cast<int>(token));
        if (tokens.empty()) break;
        const int token = tokens[random.Below(tokens.size())];
        constraint->Accept(token);
        written += json.tokenizer.Decode({&token, 1});
      }
    }
  }
}

TEST(GrammarConstraint, OnlyTheEndComesAfterTheEnd) {
  const Matched yes(R"(root ::= "yes")", {"yes", "ye", "yesyes"});
  const auto text = yes.matcher->NewText();
  EXPECT_FALSE(text->ended());
  text->Accept(257);
  EXPECT_TRUE(text->ended());
  const std::vector<bool> allowed = Allowed(*text, yes.tokenizer);
  EXPECT_TRUE(allowed[0]);
  EXPECT_EQ(std::count(allowed.begin(), allowed.end(), true), 1);
  text->Accept(0);
  EXPECT_TRUE(text->ended());
  EXPECT_TRUE(Allowed(*text, yes.tokenizer)[0]);
  EXPECT_THROW(text->Accept(257), Error);
}

TEST(GrammarConstraint, RefusesTokensThatDoNotFitAndStaysWhereItIs) {
  const Matched yes(R"(root ::= "yes")", {"yes", "no"});
  const auto text = yes.matcher->NewText();
  EXPECT_THROW(text->Accept(258), Error);
  EXPECT_THROW(text->Accept(0), Error);
  EXPECT_THROW(text->Accept(100'000), Error);
  text->Accept(257);
  EXPECT_TRUE(text->ended());
}

TEST(GrammarConstraint, TokensMayEndInsideACharacter) {
  const Matched characters("root ::= [é中]", {"\xC3", "\xE4\xB8", "\xE4"});
  const auto text = characters.matcher->NewText();
  const std::vector<bool> first = Allowed(*text, characters.tokenizer);
  EXPECT_TRUE(first[257] && first[258] && first[259] && !first[1 + 0xB8]);
  text->Accept(258);
  EXPECT_TRUE(Allowed(*text, characters.tokenizer)[1 + 0xAD]);
  EXPECT_FALSE(Allowed(*text, characters.tokenizer)[1 + 0xAE]);
}

TEST(GrammarConstraint, ACloneGoesItsOwnWay) {
  const Matched json(kJson);
  const auto text = json.matcher->NewText();
  text->Accept(1 + '[');
  const auto clone = text->Clone();
  text->Accept(1 + ']');
  EXPECT_TRUE(text->ended());
  EXPECT_FALSE(clone->ended());
  clone->Accept(1 + '[');
  clone->Accept(1 + ']');
  EXPECT_FALSE(clone->ended());
}

TEST(GrammarConstraint, MemoryStaysBoundedHoweverDeepTextsNest) {
  const Matched json(kJson);
  const auto deep = json.matcher->NewText(), other = json.matcher->NewText();
  other->Accept(1 + '[');
  size_t most = 0;
  for (int i = 0; i < 120'000; ++i) {
    deep->Accept(1 + '[');
    if (i % 1000 != 0) continue;
    Allowed(*deep, json.tokenizer);
    most = std::max(most, json.matcher->bytes());
  }
  EXPECT_LT(most, size_t{150} << 20);
  for (int i = 0; i < 120'000; ++i) deep->Accept(1 + ']');
  EXPECT_TRUE(deep->ended());
  Allowed(*other, json.tokenizer);
  other->Accept(1 + ']');
  EXPECT_TRUE(other->ended());
}

TEST(GrammarConstraint, TellsIfTheVocabularyCannotWriteWhatMustCome) {
  const BytesTokenizer bytes;  // whose token 0 is the end of a text
  const auto matcher =
      GrammarMatcher::Make(Grammar(R"(root ::= "\x00")"), std::make_shared<VocabularyTree>(bytes));
  std::vector<float> logits(256);
  EXPECT_THROW(matcher->NewText()->Mask(logits), Error);
}

}  // namespace
}  // namespace linnet
