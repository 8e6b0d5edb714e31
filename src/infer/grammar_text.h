// The text of a grammar, parsed: rules as trees. Its notation stands in docs/grammar.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace linnet {

using CharacterRange = std::pair<char32_t, char32_t>;  // both included

struct GrammarExpression {
  enum class Kind { kText, kClass, kRule, kSequence, kChoice, kRepeat };
  static constexpr int kUnlimited = -1;

  Kind kind = Kind::kText;
  std::string text = {};                      // kText: UTF-8
  std::vector<CharacterRange> ranges = {};    // kClass: ascending, apart, without surrogates
  int rule = 0;                               // kRule
  int least = 1, most = 1;                    // kRepeat, of the one part
  std::vector<GrammarExpression> parts = {};  // kSequence, kChoice, kRepeat
};

struct GrammarRule {
  std::string name;
  int line = 0;  // where it is defined
  GrammarExpression expression = {};
};

/// Rule 0 is `root`. Throws Error, starting with `name` and a line, if the text is malformed or a rule is
/// missing or defined twice.
std::vector<GrammarRule> ParseGrammar(std::string_view text, const std::string& name, std::string_view root);

}  // namespace linnet
