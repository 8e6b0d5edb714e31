#include "infer/json_grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "text/utf8.h"

namespace linnet {

// White space and digits have limits, so that no text is longer than it need be for ever. Of a pair of \u
// escapes, the halves only come together (RFC 8259, 7).
const std::string_view kJsonRules = R"(
ws           ::= (" " | "\n" " "{0,20})?
json-value   ::= json-object | json-array | json-string | json-number | json-boolean | json-null
json-object  ::= "{" ws (json-member ("," ws json-member)* ws)? "}"
json-member  ::= json-string ":" ws json-value
json-array   ::= "[" ws (json-value ("," ws json-value)* ws)? "]"
json-string  ::= "\"" json-char* "\""
json-char    ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" json-code)
json-code    ::= [0-9a-cefA-CEF] json-hex{3} | [dD] [0-7] json-hex{2} |
                 [dD] [89abAB] json-hex{2} "\\u" [dD] [c-fC-F] json-hex{2}
json-hex     ::= [0-9a-fA-F]
json-integer ::= "-"? ("0" | [1-9] [0-9]{0,15})
json-number  ::= json-integer ("." [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?
json-boolean ::= "true" | "false"
json-null    ::= "null"
)";

std::string GrammarChoice(const std::vector<std::string>& choices) {
  std::string joined;
  for (size_t i = 0; i < choices.size(); ++i) joined += (i > 0 ? " | " : "") + choices[i];
  return joined;
}

std::string GrammarLiteral(std::string_view text) {
  std::string literal = "\"";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      literal += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7F) {
      literal += fmt::format("\\x{:02X}", byte);
    } else {
      literal += c;
    }
  }
  return literal + "\"";
}

std::string GrammarClassCharacter(char32_t code) {
  if (code < 0x20 || code == 0x7F) return fmt::format("\\x{:02X}", static_cast<uint32_t>(code));
  std::string text;
  if (std::u32string_view(U"]^-\\[").find(code) != std::u32string_view::npos) text = "\\";
  if (!AppendUtf8(code, text)) return fmt::format("\\U{:08X}", static_cast<uint32_t>(code));
  return text;
}

namespace {

std::string Digit(char from, char to) {
  return from == to ? fmt::format("\"{}\"", from) : fmt::format("[{}-{}]", from, to);
}

std::string AnyDigits(size_t count) {
  return count == 0 ? "" : count == 1 ? " [0-9]" : fmt::format(" [0-9]{{{}}}", count);
}

/// Numbers of as many digits as both have, which may begin with 0.
void SameLength(const std::string& least, const std::string& most, const std::string& before,
                std::vector<std::string>& out) {
  const size_t more = least.size() - 1;
  const bool from_zeros = least.find_first_not_of('0', 1) == std::string::npos;
  const bool to_nines = most.find_first_not_of('9', 1) == std::string::npos;
  if (more == 0 || (from_zeros && to_nines)) {
    out.push_back(before + Digit(least[0], most[0]) + AnyDigits(more));
    return;
  }
  const auto after = [&](char digit) { return before + Digit(digit, digit) + " "; };
  if (least[0] == most[0]) return SameLength(least.substr(1), most.substr(1), after(least[0]), out);
  char first = least[0], last = most[0];
  if (!from_zeros) SameLength(least.substr(1), std::string(more, '9'), after(first++), out);
  if (!to_nines) --last;
  if (first <= last) out.push_back(before + Digit(first, last) + AnyDigits(more));
  if (!to_nines) SameLength(std::string(more, '0'), most.substr(1), after(most[0]), out);
}

/// Numbers without a sign.
std::string UnsignedRange(uint64_t least, uint64_t most) {
  std::vector<std::string> choices;
  while (least <= most) {
    const std::string from = fmt::format("{}", least), to = fmt::format("{}", most);
    const std::string end = from.size() == to.size() ? to : std::string(from.size(), '9');
    SameLength(from, end, "", choices);
    if (end.size() == to.size()) break;
    least = 1;
    for (size_t i = 0; i < from.size(); ++i) least *= 10;
  }
  return "(" + GrammarChoice(choices) + ")";
}

uint64_t Magnitude(int64_t x) { return x < 0 ? 0 - static_cast<uint64_t>(x) : static_cast<uint64_t>(x); }

constexpr const char* kFraction = "(\".\" [0-9]{1,16})?";

/// Numbers between, without a sign.
std::string UnsignedNumbers(uint64_t least, uint64_t most, bool without_least, bool without_most) {
  std::vector<std::string> choices;
  if (least == most) return UnsignedRange(least, most);
  if (without_least) choices.push_back(fmt::format("\"{}.\" [0-9]{{0,15}} [1-9]", least));
  const uint64_t from = least + (without_least ? 1 : 0);
  if (from < most) choices.push_back(UnsignedRange(from, most - 1) + " " + kFraction);
  if (!without_most) choices.push_back(fmt::format("\"{}\" (\".\" \"0\"{{1,16}})?", most));
  return "(" + GrammarChoice(choices) + ")";
}

}  // namespace

std::string IntegerRange(int64_t least, int64_t most) {
  std::vector<std::string> choices;
  if (most >= 0)
    choices.push_back(UnsignedRange(least > 0 ? static_cast<uint64_t>(least) : 0, Magnitude(most)));
  if (least < 0)
    choices.push_back("\"-\" " + UnsignedRange(most < 0 ? Magnitude(most) : 1, Magnitude(least)));
  return "(" + GrammarChoice(choices) + ")";
}

std::string NumberRange(int64_t least, int64_t most, bool without_least, bool without_most) {
  std::vector<std::string> choices;
  if (most > 0 || (most == 0 && !without_most)) {
    const bool from_below = least < 0;
    choices.push_back(UnsignedNumbers(from_below ? 0 : Magnitude(least), Magnitude(most),
                                      !from_below && without_least, without_most));
  }
  if (least < 0) {
    const bool to_above = most > 0;
    choices.push_back("\"-\" " + UnsignedNumbers(to_above ? 0 : Magnitude(most), Magnitude(least),
                                                 !to_above && without_most, without_least));
  }
  return "(" + GrammarChoice(choices) + ")";
}

}  // namespace linnet
