#include "infer/grammar.h"

#include <algorithm>
#include <map>
#include <span>

#include "base/check.h"
#include "infer/grammar_text.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using Expression = GrammarExpression;

constexpr size_t kMostStates = 1 << 18;

struct ByteRange {
  uint8_t from, to;
  auto operator<=>(const ByteRange&) const = default;
};
/// Texts of UTF-8 whose bytes lie in one range each.
using ByteRanges = std::vector<ByteRange>;

std::string Utf8(char32_t code) {
  std::string bytes;
  AppendUtf8(code, bytes);
  return bytes;
}

/// Cuts characters of one length into runs in which each byte goes through a range of its own, whatever the
/// others are: below the first byte that differs, all must go from 80 to BF.
void AppendByteRanges(char32_t first, char32_t last, std::vector<ByteRanges>& out) {
  const std::string from = Utf8(first), to = Utf8(last);
  for (size_t i = 0; i + 1 < from.size(); ++i) {
    if (from[i] == to[i]) continue;
    const char32_t below = (char32_t{1} << (6 * (from.size() - 1 - i))) - 1;  // bits of the bytes after this
    if ((first & below) != 0) {
      AppendByteRanges(first, first | below, out);
      return AppendByteRanges((first | below) + 1, last, out);
    }
    if ((last & below) != below) {
      AppendByteRanges(first, (last & ~below) - 1, out);
      return AppendByteRanges(last & ~below, last, out);
    }
    break;
  }
  ByteRanges& ranges = out.emplace_back();
  for (size_t i = 0; i < from.size(); ++i)
    ranges.push_back({static_cast<uint8_t>(from[i]), static_cast<uint8_t>(to[i])});
}

std::vector<ByteRanges> ByteRangesOf(const std::vector<CharacterRange>& characters) {
  std::vector<ByteRanges> out;
  constexpr char32_t kLengthEnds[] = {0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
  for (auto [first, last] : characters) {
    for (const char32_t end : kLengthEnds) {
      if (first > last || first > end) continue;
      AppendByteRanges(first, std::min(last, end), out);
      first = end + 1;
    }
  }
  return out;
}

}  // namespace

/// Builds the states of expressions from their ends: each is given the state after it.
class GrammarCompiler {
 public:
  GrammarCompiler(Grammar& grammar, const std::vector<GrammarRule>& rules, const std::string& name)
      : grammar_(grammar), rules_(rules), name_(name) {}

  void Compile() {
    for (const GrammarRule& rule : rules_) {
      rule_ = &rule;
      const int32_t end = NewState({});
      grammar_.starts_.push_back(Build(rule.expression, end));
    }
    CheckThatAllEnd();
    CheckLeftRecursion();
  }

 private:
  int32_t NewState(const Grammar::State& state) {
    Check(grammar_.states_.size() < kMostStates,
          "{}: it takes more than {} states, at the rule '{}'; ask for fewer repetitions", name_, kMostStates,
          rule_->name);
    grammar_.states_.push_back(state);
    return static_cast<int32_t>(grammar_.states_.size() - 1);
  }

  int32_t NewBytes(const std::vector<Grammar::Edge>& edges) {
    const auto first = static_cast<int32_t>(grammar_.edges_.size());
    grammar_.edges_.insert(grammar_.edges_.end(), edges.begin(), edges.end());
    return NewState({Grammar::Kind::kBytes, first, static_cast<int32_t>(grammar_.edges_.size())});
  }

  /// Sets where a state goes on, which may be known only after it was made.
  void SetTargets(int32_t state, std::span<const int32_t> targets) {
    const auto first = static_cast<int32_t>(grammar_.targets_.size());
    grammar_.targets_.insert(grammar_.targets_.end(), targets.begin(), targets.end());
    grammar_.states_[state] = {Grammar::Kind::kSplit, first, static_cast<int32_t>(grammar_.targets_.size())};
  }
  int32_t NewSplit(std::span<const int32_t> targets) {
    const int32_t state = NewState({});
    SetTargets(state, targets);
    return state;
  }

  int32_t Build(const Expression& expression, int32_t next) {
    switch (expression.kind) {
      case Expression::Kind::kText:
        return BuildText(expression.text, next);
      case Expression::Kind::kClass:
        return BuildClass(expression.ranges, next);
      case Expression::Kind::kRule:
        return NewState({Grammar::Kind::kCall, expression.rule, next});
      case Expression::Kind::kSequence:
        for (auto part = expression.parts.rbegin(); part != expression.parts.rend(); ++part)
          next = Build(*part, next);
        return next;
      case Expression::Kind::kChoice: {
        std::vector<int32_t> targets;
        for (const Expression& part : expression.parts) targets.push_back(Build(part, next));
        return NewSplit(targets);
      }
      case Expression::Kind::kRepeat:
        return BuildRepeat(expression, next);
    }
    return next;
  }

  int32_t BuildText(const std::string& text, int32_t next) {
    for (auto c = text.rbegin(); c != text.rend(); ++c) {
      const auto byte = static_cast<uint8_t>(*c);
      next = NewBytes({{byte, byte, next}});
    }
    return next;
  }

  /// Characters that end alike share the states of their ends.
  int32_t BuildClass(const std::vector<CharacterRange>& ranges, int32_t next) {
    std::map<ByteRanges, int32_t> ends;
    std::vector<Grammar::Edge> edges;
    for (const ByteRanges& bytes : ByteRangesOf(ranges)) {
      int32_t state = next;
      for (size_t i = bytes.size() - 1; i > 0; --i) {
        const auto [end, is_new] = ends.try_emplace({bytes.begin() + static_cast<int64_t>(i), bytes.end()});
        if (is_new) end->second = NewBytes({{bytes[i].from, bytes[i].to, state}});
        state = end->second;
      }
      edges.push_back({bytes[0].from, bytes[0].to, state});
    }
    return NewBytes(edges);
  }

  int32_t BuildRepeat(const Expression& repeat, int32_t next) {
    const Expression& part = repeat.parts.front();
    const int32_t after = next;
    if (repeat.most == Expression::kUnlimited) {
      next = NewState({});
      const int32_t body = Build(part, next);
      SetTargets(next, std::array{body, after});
    } else {
      for (int i = repeat.least; i < repeat.most; ++i) {
        const int32_t body = Build(part, next);
        if (body == next) break;  // it is empty, however often it is repeated
        next = NewSplit(std::array{body, after});
      }
    }
    for (int i = 0; i < repeat.least; ++i) {
      const int32_t before = Build(part, next);
      if (before == next) break;
      next = before;
    }
    return next;
  }

  /// Which states lead to the end of their rule; over bytes, too, or without reading any.
  std::vector<bool> FindEnding(bool over_bytes) const {
    const auto& states = grammar_.states_;
    std::vector<std::vector<int32_t>> before(states.size());  // states that may end if this one does
    std::vector<int32_t> found;
    for (int32_t id = 0; id < static_cast<int32_t>(states.size()); ++id) {
      const Grammar::State& state = states[id];
      if (state.kind == Grammar::Kind::kEnd) found.push_back(id);
      if (state.kind == Grammar::Kind::kSplit)
        for (int32_t i = state.first; i < state.second; ++i) before[grammar_.targets_[i]].push_back(id);
      if (state.kind == Grammar::Kind::kBytes && over_bytes)
        for (int32_t i = state.first; i < state.second; ++i) before[grammar_.edges_[i].next].push_back(id);
      if (state.kind == Grammar::Kind::kCall) {
        before[grammar_.starts_[state.first]].push_back(id);
        before[state.second].push_back(id);
      }
    }
    std::vector<bool> ending(states.size());
    for (const int32_t id : found) ending[id] = true;
    while (!found.empty()) {
      const int32_t id = found.back();
      found.pop_back();
      for (const int32_t earlier : before[id]) {
        const Grammar::State& state = states[earlier];
        const bool calls = state.kind == Grammar::Kind::kCall;
        const bool ends = !calls || (ending[grammar_.starts_[state.first]] && ending[state.second]);
        if (!ends || ending[earlier]) continue;
        ending[earlier] = true;
        found.push_back(earlier);
      }
    }
    return ending;
  }

  void CheckThatAllEnd() const {
    const std::vector<bool> ending = FindEnding(true);
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      Check(ending[grammar_.starts_[rule]],
            "{}, line {}: a text of the rule '{}' never ends; give it an alternative without itself", name_,
            rules_[rule].line, rules_[rule].name);
    }
  }

  /// Rules that `rule` may call before it has read a byte.
  std::vector<int32_t> CalledFirst(int32_t rule, const std::vector<bool>& empty,
                                   std::vector<bool>& seen) const {
    std::vector<int32_t> called, open{grammar_.starts_[rule]};
    while (!open.empty()) {
      const int32_t id = open.back();
      open.pop_back();
      if (seen[id]) continue;
      seen[id] = true;
      const Grammar::State& state = grammar_.states_[id];
      if (state.kind == Grammar::Kind::kSplit)
        open.insert(open.end(), grammar_.begin_targets(state), grammar_.end_targets(state));
      if (state.kind != Grammar::Kind::kCall) continue;
      called.push_back(state.first);
      if (empty[grammar_.starts_[state.first]]) open.push_back(state.second);
    }
    return called;
  }

  void CheckLeftRecursion() const {
    const std::vector<bool> empty = FindEnding(false);
    std::vector<bool> seen(grammar_.states_.size());
    std::vector<std::vector<int32_t>> called;
    for (size_t rule = 0; rule < rules_.size(); ++rule)
      called.push_back(CalledFirst(static_cast<int32_t>(rule), empty, seen));
    enum : uint8_t { kNew, kOpen, kDone };
    std::vector<uint8_t> marks(rules_.size(), kNew);
    std::vector<int32_t> path;
    for (size_t rule = 0; rule < rules_.size(); ++rule) {
      // Depth first; a rule's list is used up as it goes.
      if (marks[rule] == kNew) path.push_back(static_cast<int32_t>(rule)), marks[rule] = kOpen;
      while (!path.empty()) {
        std::vector<int32_t>& left = called[path.back()];
        if (left.empty()) {
          marks[path.back()] = kDone;
          path.pop_back();
          continue;
        }
        const int32_t next = left.back();
        left.pop_back();
        if (marks[next] == kOpen) RefuseCycle(path, next);
        if (marks[next] == kNew) path.push_back(next), marks[next] = kOpen;
      }
    }
  }

  [[noreturn]] void RefuseCycle(const std::vector<int32_t>& path, int32_t again) const {
    std::string cycle;
    for (auto at = std::find(path.begin(), path.end(), again); at != path.end(); ++at)
      cycle += rules_[*at].name + " -> ";
    Fail(
        "{}, line {}: the rule '{}' calls itself before it has read anything ({}{}), which is left "
        "recursion; write a repetition instead: a ::= b (\",\" b)*",
        name_, rules_[again].line, rules_[again].name, cycle, rules_[again].name);
  }

  Grammar& grammar_;
  const std::vector<GrammarRule>& rules_;
  const std::string& name_;
  const GrammarRule* rule_ = nullptr;  // that is being built
};

Grammar::Grammar(std::string_view text, const std::string& name, std::string_view root) {
  const std::vector<GrammarRule> rules = ParseGrammar(text, name, root);
  GrammarCompiler(*this, rules, name).Compile();
  FindByteClasses();
}

void Grammar::FindByteClasses() {
  std::array<bool, 257> begins{};
  for (const Edge& edge : edges_) begins[edge.from] = begins[edge.to + 1] = true;
  for (int byte = 1; byte < 256; ++byte) {
    if (begins[byte]) ++classes_;
    byte_classes_[byte] = static_cast<uint8_t>(classes_);
  }
  ++classes_;
}

}  // namespace linnet
