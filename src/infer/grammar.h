// Grammar: what a text may look like, in a notation close to the GBNF of llama.cpp (docs/grammar.md):
//
//   root  ::= "yes" | "no" | list              # the text is a root
//   list  ::= "[" item ("," item)* "]"         # sequences, groups, * + ? {3} {3,} {3,5}
//   item  ::= [a-z] [^\x00-\x1F"]{0,8}         # classes of characters; . is any
//
// Compiled it is an automaton over bytes with a stack: each rule is a graph of states whose edges read a byte
// or call a rule (Woods, "Transition network grammars for natural language analysis", 1970). A character is
// the bytes of its UTF-8, so that what fits is always valid UTF-8.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

class Grammar {
 public:
  /// A text is what the rule `root` says. Throws Error, starting with `name` and a line, if the text is
  /// malformed, a rule is missing, calls itself before it has read anything (left recursion), or can never
  /// end, or if it takes too many states.
  explicit Grammar(std::string_view text, const std::string& name = "grammar",
                   std::string_view root = "root");

  enum class Kind : uint8_t {
    kEnd,    // of the rule
    kBytes,  // reads one byte: edges()
    kSplit,  // goes on in any of targets()
    kCall,   // reads a rule, then goes on in `second`
  };
  struct State {
    Kind kind = Kind::kEnd;
    int32_t first = 0, second = 0;  // of edges and targets: [first, second); of a call: rule, next state
  };
  struct Edge {
    uint8_t from, to;  // bytes, both included
    int32_t next;
  };

  const State& state(int32_t id) const { return states_[id]; }
  size_t states() const { return states_.size(); }
  const Edge* begin_edges(const State& state) const { return edges_.data() + state.first; }
  const Edge* end_edges(const State& state) const { return edges_.data() + state.second; }
  const int32_t* begin_targets(const State& state) const { return targets_.data() + state.first; }
  const int32_t* end_targets(const State& state) const { return targets_.data() + state.second; }
  /// Where a rule begins; the text is rule 0.
  int32_t start(int32_t rule) const { return starts_[rule]; }

  /// Bytes of the same class are on the same edges everywhere.
  uint8_t byte_class(uint8_t byte) const { return byte_classes_[byte]; }
  int byte_classes() const { return classes_; }

 private:
  friend class GrammarCompiler;
  void FindByteClasses();

  std::vector<State> states_;
  std::vector<Edge> edges_;
  std::vector<int32_t> targets_;
  std::vector<int32_t> starts_;
  std::array<uint8_t, 256> byte_classes_{};
  int classes_ = 0;
};

}  // namespace linnet
