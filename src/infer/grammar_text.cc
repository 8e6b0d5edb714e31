#include "infer/grammar_text.h"

#include <algorithm>
#include <cctype>
#include <unordered_map>

#include "base/check.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using Kind = GrammarExpression::Kind;

constexpr size_t kMostBytes = size_t{4} << 20;
constexpr int kMostNested = 200;
constexpr int kMostRepeats = 100'000;
constexpr char32_t kLastCharacter = 0x10FFFF, kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF;

bool IsNameByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'; }

bool IsSurrogate(char32_t code) { return code >= kFirstSurrogate && code <= kLastSurrogate; }

/// Ascending and apart.
std::vector<CharacterRange> Joined(std::vector<CharacterRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<CharacterRange> joined;
  for (const auto& range : ranges) {
    if (!joined.empty() && range.first <= joined.back().second + 1) {
      joined.back().second = std::max(joined.back().second, range.second);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

/// All characters that are in none of the ranges, which are ascending and apart.
std::vector<CharacterRange> Others(const std::vector<CharacterRange>& ranges) {
  std::vector<CharacterRange> others;
  char32_t next = 0;
  for (const auto& [first, last] : ranges) {
    if (first > next) others.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= kLastCharacter) others.emplace_back(next, kLastCharacter);
  return others;
}

std::vector<CharacterRange> WithoutSurrogates(const std::vector<CharacterRange>& ranges) {
  std::vector<CharacterRange> outside = Others(ranges);
  outside.emplace_back(kFirstSurrogate, kLastSurrogate);
  return Others(Joined(std::move(outside)));
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : text_(text), name_(name) {
    Check(text.size() <= kMostBytes, "{}: a grammar has at most {} bytes, this one {}", name, kMostBytes,
          text.size());
  }

  std::vector<GrammarRule> Parse(std::string_view root) {
    RuleNumber(root);
    for (SkipBlanks(); !AtEnd(); SkipBlanks()) ParseRule();
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (rules_[i].line > 0) continue;
      if (i == 0) Fail("{}: no rule is called {}, which is what the text is", name_, rules_[0].name);
      at_ = first_uses_[i];
      Refuse("the rule '{}' is not defined", rules_[i].name);
    }
    return std::move(rules_);
  }

 private:
  template <class... Args>
  [[noreturn]] void Refuse(fmt::format_string<Args...> format, Args&&... args) const {
    Fail("{}, line {}: {}", name_, Line(), fmt::format(format, std::forward<Args>(args)...));
  }

  int Line() const {
    return 1 + static_cast<int>(std::count(text_.begin(), text_.begin() + static_cast<int64_t>(at_), '\n'));
  }
  bool AtEnd() const { return at_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }
  bool Take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  /// White space, line ends among it, and comments.
  void SkipBlanks() {
    while (!AtEnd()) {
      if (Peek() == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (std::isspace(static_cast<unsigned char>(Peek()))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view TakeName() {
    const size_t begin = at_;
    while (!AtEnd() && IsNameByte(Peek())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  int RuleNumber(std::string_view name) {
    const auto [found, is_new] = numbers_.emplace(name, static_cast<int>(rules_.size()));
    if (is_new) {
      rules_.push_back({.name = std::string(name)});
      first_uses_.push_back(at_ - std::min(at_, name.size()));
    }
    return found->second;
  }

  void ParseRule() {
    const int line = Line();
    const std::string_view name = TakeName();
    if (name.empty()) Refuse("a rule was expected (name ::= ...), but found '{}'", Found());
    const int number = RuleNumber(name);
    if (rules_[number].line > 0)
      Refuse("the rule '{}' is already defined in line {}", name, rules_[number].line);
    SkipBlanks();
    if (!Take("::=")) Refuse("::= was expected after '{}', but found '{}'", name, Found());
    rules_[number].line = line;
    GrammarExpression expression = ParseChoice(0);
    SkipBlanks();
    if (Peek() == ')') Refuse("there is a ) without its (");
    rules_[number].expression = std::move(expression);
  }

  /// Some bytes from here on, for messages.
  std::string Found() const {
    return AtEnd() ? "the end" : Readable(text_.substr(at_, FirstCharacter(text_.substr(at_)).length));
  }

  GrammarExpression ParseChoice(int nested) {
    if (nested > kMostNested) Refuse("groups are nested more than {} deep", kMostNested);
    GrammarExpression choice{.kind = Kind::kChoice};
    do {
      choice.parts.push_back(ParseSequence(nested));
      SkipBlanks();
    } while (Take("|"));
    if (choice.parts.size() == 1) return std::move(choice.parts.front());
    return choice;
  }

  /// Whether a name begins here that is defined, not used.
  bool AtDefinition() {
    const size_t begin = at_;
    TakeName();
    SkipBlanks();
    const bool defines = text_.substr(at_).starts_with("::=");
    at_ = begin;
    return defines;
  }

  GrammarExpression ParseSequence(int nested) {
    GrammarExpression sequence{.kind = Kind::kSequence};
    for (;;) {
      SkipBlanks();
      const char c = Peek();
      if (AtEnd() || c == '|' || c == ')') return sequence;
      if (IsNameByte(c) && AtDefinition()) return sequence;
      sequence.parts.push_back(ParseRepeats(ParseItem(nested)));
    }
  }

  GrammarExpression ParseItem(int nested) {
    if (Take("(")) {
      GrammarExpression group = ParseChoice(nested + 1);
      if (!Take(")")) Refuse("a ) is missing; found '{}'", Found());
      return group;
    }
    if (Take("\"")) return ParseText();
    if (Take("[")) return ParseClass();
    if (Take(".")) return {.kind = Kind::kClass, .ranges = WithoutSurrogates({{0, kLastCharacter}})};
    if (!IsNameByte(Peek())) Refuse("'{}' has no meaning here", Found());
    const std::string_view name = TakeName();
    return {.kind = Kind::kRule, .rule = RuleNumber(name)};
  }

  GrammarExpression ParseRepeats(GrammarExpression item) {
    for (int times = 0;; ++times) {
      SkipBlanks();
      int least = 0, most = GrammarExpression::kUnlimited;
      if (Take("+")) {
        least = 1;
      } else if (Take("?")) {
        most = 1;
      } else if (Take("{")) {
        ParseCounts(least, most);
      } else if (!Take("*")) {
        return item;
      }
      if (times > 0) Refuse("two repetitions follow each other; put the first into a group");
      GrammarExpression repeat{.kind = Kind::kRepeat, .least = least, .most = most};
      repeat.parts.push_back(std::move(item));
      item = std::move(repeat);
    }
  }

  void ParseCounts(int& least, int& most) {
    const bool has_least = std::isdigit(static_cast<unsigned char>(Peek()));
    if (has_least) least = ParseCount();
    SkipBlanks();
    if (Take(",")) {
      SkipBlanks();
      if (std::isdigit(static_cast<unsigned char>(Peek()))) most = ParseCount();
    } else {
      if (!has_least) Refuse("a number was expected after {{, but found '{}'", Found());
      most = least;
    }
    SkipBlanks();
    if (!Take("}")) Refuse("a }} is missing after a number of repetitions; found '{}'", Found());
    if (most >= 0 && most < least) Refuse("{{{},{}}} asks for at least more than at most", least, most);
  }

  int ParseCount() {
    int count = 0;
    while (std::isdigit(static_cast<unsigned char>(Peek()))) {
      count = 10 * count + (text_[at_++] - '0');
      if (count > kMostRepeats) Refuse("at most {} repetitions can be asked for", kMostRepeats);
    }
    return count;
  }

  GrammarExpression ParseText() {
    GrammarExpression literal{.kind = Kind::kText};
    while (!Take("\"")) {
      const char32_t code = TakeCharacter("a text in quotation marks");
      AppendUtf8(code, literal.text);
    }
    return literal;
  }

  GrammarExpression ParseClass() {
    const bool negated = Take("^");
    std::vector<CharacterRange> ranges;
    while (!Take("]")) {
      const char32_t first = TakeCharacter("a class of characters");
      char32_t last = first;
      if (Peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = TakeCharacter("a class of characters");
      }
      if (last < first) Refuse("a range of characters ends before it begins");
      ranges.emplace_back(first, last);
    }
    ranges = Joined(std::move(ranges));
    ranges = WithoutSurrogates(negated ? Others(ranges) : ranges);
    if (ranges.empty()) Refuse("no character is in this class");
    return {.kind = Kind::kClass, .ranges = std::move(ranges)};
  }

  /// One character, as itself or escaped.
  char32_t TakeCharacter(const char* where) {
    if (AtEnd()) Refuse("{} does not end", where);
    if (Peek() == '\n') Refuse("{} does not end in its line; a line end in it is written \\n", where);
    const Character character = FirstCharacter(text_.substr(at_));
    if (!character.valid) Refuse("the bytes here are no UTF-8");
    at_ += character.length;
    return character.code == U'\\' ? TakeEscape(where) : character.code;
  }

  char32_t TakeEscape(const char* where) {
    if (AtEnd()) Refuse("{} does not end", where);
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case 'x':
        return TakeHex(2);
      case 'u':
        return TakeHex(4);
      case 'U':
        return TakeHex(8);
      default:
        if (!std::ispunct(static_cast<unsigned char>(c))) {
          --at_;
          Refuse(
              "\\{} has no meaning; there are \\n \\r \\t \\xHH \\uHHHH \\UHHHHHHHH, and marks as "
              "themselves",
              Found());
        }
        return static_cast<char32_t>(c);
    }
  }

  char32_t TakeHex(int digits) {
    uint64_t code = 0;
    for (int i = 0; i < digits; ++i) {
      if (!std::isxdigit(static_cast<unsigned char>(Peek())))
        Refuse("{} hexadecimal digits were expected, but found '{}'", digits, Found());
      const char c = text_[at_++];
      code = 16 * code + static_cast<uint64_t>(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    if (code > kLastCharacter || IsSurrogate(static_cast<char32_t>(code)))
      Refuse("there is no character {:X}", code);
    return static_cast<char32_t>(code);
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  std::vector<GrammarRule> rules_;
  std::vector<size_t> first_uses_;  // where in the text
  std::unordered_map<std::string_view, int> numbers_;
};

}  // namespace

std::vector<GrammarRule> ParseGrammar(std::string_view text, const std::string& name, std::string_view root) {
  return Parser(text, name).Parse(root);
}

}  // namespace linnet
