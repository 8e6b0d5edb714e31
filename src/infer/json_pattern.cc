// Regular expressions over the characters of a JSON string (infer/json_grammar.h).
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "base/check.h"
#include "infer/grammar_text.h"
#include "infer/json_grammar.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using Ranges = std::vector<CharacterRange>;

constexpr char32_t kLast = 0x10FFFF;
constexpr int kMostNested = 100;
const Ranges kDigits = {{'0', '9'}};
const Ranges kWordCharacters = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges kBlanks = {{'\t', '\r'}, {' ', ' '}, {0xA0, 0xA0}, {0x2028, 0x2029}, {0xFEFF, 0xFEFF}};
const Ranges kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

Ranges Others(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end());
  Ranges others;
  char32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) others.emplace_back(next, first - 1);
    next = std::max<char32_t>(next, last + 1);
  }
  if (next <= kLast) others.emplace_back(next, kLast);
  return others;
}

/// How JSON writes a character that cannot stand in a string as it is.
std::string Escaped(char32_t code) {
  switch (code) {
    case U'"':
      return "\\\"";
    case U'\\':
      return "\\\\";
    case U'\n':
      return "\\n";
    case U'\r':
      return "\\r";
    case U'\t':
      return "\\t";
    case U'\b':
      return "\\b";
    case U'\f':
      return "\\f";
    default:
      return fmt::format("\\u{:04x}", static_cast<uint32_t>(code));
  }
}

bool NeedsEscape(char32_t code) { return code < 0x20 || code == U'"' || code == U'\\' || code == 0x7F; }

/// One of these characters, as JSON writes it.
std::string OneOf(const Ranges& ranges) {
  Ranges special;
  for (const char32_t code : {U'"', U'\\', U'\x7F'}) special.emplace_back(code, code);
  special.emplace_back(0, 0x1F);
  special.emplace_back(0xD800, 0xDFFF);
  Ranges outside = Others(ranges);
  outside.insert(outside.end(), special.begin(), special.end());
  std::string plain;
  for (const auto& [first, last] : Others(outside)) {
    plain += GrammarClassCharacter(first);
    if (last > first) plain += "-" + GrammarClassCharacter(last);
  }
  std::vector<std::string> choices;
  if (!plain.empty()) choices.push_back("[" + plain + "]");
  for (const auto& [first, last] : ranges) {
    for (char32_t code = first; code <= std::min<char32_t>(last, 0x7F); ++code)
      if (NeedsEscape(code)) choices.push_back(GrammarLiteral(Escaped(code)));
  }
  Check(!choices.empty(), "no character is in one of its classes");
  return choices.size() == 1 ? choices[0] : "(" + GrammarChoice(choices) + ")";
}

class Reader {
 public:
  explicit Reader(std::string_view pattern) : pattern_(pattern) {}

  std::string Read() {
    const std::string grammar = ReadChoice(0);
    Check(AtEnd(), "there is a ) without its (");
    return grammar;
  }

 private:
  bool AtEnd() const { return at_ == pattern_.size(); }
  char Peek() const { return AtEnd() ? '\0' : pattern_[at_]; }
  bool Take(std::string_view token) {
    if (!pattern_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  char32_t TakeCharacter() {
    Check(!AtEnd(), "it ends too early");
    const Character character = FirstCharacter(pattern_.substr(at_));
    Check(character.valid, "it is no UTF-8");
    at_ += character.length;
    return character.code;
  }

  std::string ReadChoice(int nested) {
    Check(nested <= kMostNested, "its groups are nested more than {} deep", kMostNested);
    std::vector<std::string> choices;
    do choices.push_back(ReadSequence(nested));
    while (Take("|"));
    return choices.size() == 1 && nested == 0 ? choices[0] : "(" + GrammarChoice(choices) + ")";
  }

  std::string ReadSequence(int nested) {
    const bool outside = nested == 0;
    std::string sequence = outside && !Take("^") ? "json-char* " : "";
    bool open = outside;
    while (!AtEnd() && Peek() != '|' && Peek() != ')') {
      Check(open || !outside, "its $ is not at an end");
      if (outside && Take("$")) {
        open = false;
        continue;
      }
      sequence += ReadRepeats(ReadAtom(nested)) + " ";
    }
    if (open) sequence += "json-char* ";
    return sequence.empty() ? "\"\"" : sequence;
  }

  std::string ReadAtom(int nested) {
    if (Take("(")) {
      Check(!Take("?") || Take(":"), "it looks ahead or behind, or names a group, which is not supported");
      std::string group = ReadChoice(nested + 1);
      Check(Take(")"), "a ) is missing");
      return group;
    }
    if (Take("[")) return OneOf(ReadClass());
    if (Take(".")) return OneOf(Others(kLineEnds));
    if (Take("\\")) return OneOf(ReadEscape());
    Check(std::string_view("^$*+?{").find(Peek()) == std::string_view::npos,
          "'{}' stands where it is not supported", Peek());
    const char32_t code = TakeCharacter();
    return OneOf({{code, code}});
  }

  std::string ReadRepeats(const std::string& atom) {
    const size_t begin = at_;
    if (Take("{")) {
      const size_t end = pattern_.find('}', at_);
      const std::string_view counts = pattern_.substr(at_, end - at_);
      Check(end != std::string_view::npos && !counts.empty() && counts.front() != ',' &&
                counts.find_first_not_of("0123456789,") == std::string_view::npos,
            "a number of repetitions is malformed");
      at_ = end + 1;
    } else if (!Take("*") && !Take("+") && !Take("?")) {
      return atom;
    }
    const std::string repeat(pattern_.substr(begin, at_ - begin));
    Take("?");  // which of the texts that fit is preferred makes no difference
    return atom + repeat;
  }

  /// After a backslash.
  Ranges ReadEscape() {
    const char32_t code = TakeCharacter();
    switch (code) {
      case U'd':
        return kDigits;
      case U'D':
        return Others(kDigits);
      case U'w':
        return kWordCharacters;
      case U'W':
        return Others(kWordCharacters);
      case U's':
        return kBlanks;
      case U'S':
        return Others(kBlanks);
      default:
        return {{Single(code), Single(code)}};
    }
  }

  char32_t Single(char32_t code) {
    constexpr std::pair<char32_t, char32_t> kNamed[] = {{U'n', U'\n'}, {U'r', U'\r'}, {U't', U'\t'},
                                                        {U'f', U'\f'}, {U'v', U'\v'}, {U'0', U'\0'}};
    for (const auto& [name, meant] : kNamed)
      if (code == name) return meant;
    if (code == U'x') return ReadHex(2);
    if (code == U'u') return ReadHex(4);
    Check(code < 0x80 && std::ispunct(static_cast<int>(code)), "\\{} is not supported",
          code < 0x80 ? static_cast<char>(code) : '?');
    return code;
  }

  char32_t ReadHex(int digits) {
    char32_t code = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = Peek();
      Check(std::isxdigit(static_cast<unsigned char>(c)), "\\x and \\u want 2 and 4 hexadecimal digits");
      code = 16 * code + static_cast<char32_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
      ++at_;
    }
    return code;
  }

  Ranges ReadClass() {
    const bool negated = Take("^");
    Ranges ranges;
    while (!Take("]")) {
      Ranges item = ReadClassItem();
      const bool single = item.size() == 1 && item[0].first == item[0].second;
      if (single && Peek() == '-' && !pattern_.substr(at_).starts_with("-]")) {
        ++at_;
        const Ranges end = ReadClassItem();
        Check(end.size() == 1 && end[0].first == end[0].second && end[0].first >= item[0].first,
              "a range in a class is malformed");
        item[0].second = end[0].second;
      }
      ranges.insert(ranges.end(), item.begin(), item.end());
    }
    return negated ? Others(ranges) : ranges;
  }

  Ranges ReadClassItem() {
    if (Take("\\")) {
      if (Take("b")) return {{'\b', '\b'}};
      return ReadEscape();
    }
    const char32_t code = TakeCharacter();
    return {{code, code}};
  }

  std::string_view pattern_;
  size_t at_ = 0;
};

}  // namespace

std::string PatternGrammar(std::string_view pattern) {
  try {
    return Reader(pattern).Read();
  } catch (const Error& error) {
    Fail("the pattern '{}' cannot be used: {}", pattern, error.what());
  }
}

}  // namespace linnet
