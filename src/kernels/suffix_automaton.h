// A suffix automaton: the smallest machine that accepts all suffixes of a string, grown a symbol at a time
// (Blumer et al., 1985). Each node stands for the substrings that end at the same places: the longest of
// them, and its suffixes down to those of the node's link, which end at more places.
//
// It lives in an array of floats, as states do: a node is [link, length, end, next...], all zeros mean an
// automaton of nothing, and node 0, the root, stands for the empty string. States may come from files:
// whatever the numbers are, nothing outside of the array is touched and every walk ends, as it goes to
// shorter nodes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace linnet {

class SuffixAutomaton {
 public:
  /// Floats of a node.
  static constexpr int64_t Stride(int64_t symbols) { return kNext + symbols; }
  /// Nodes that `length` symbols may need.
  static constexpr int64_t Nodes(int64_t length) { return 2 * length + 1; }
  static constexpr int64_t kCursor = 4;

  /// `nodes` [Nodes(length), Stride(symbols)] and `cursor` [kCursor] are its memory.
  SuffixAutomaton(float* nodes, float* cursor, int64_t length, int64_t symbols)
      : nodes_(nodes), cursor_(cursor), most_(Nodes(length)), symbols_(symbols) {
    used_ = Whole(cursor[kUsed], most_ - 1) + 1;
    last_ = Node(cursor[kLast]);
    matched_ = Node(cursor[kMatched]);
    length_ = Whole(cursor[kLength], length);
  }

  /// Writes down where it stands.
  void Save() const {
    cursor_[kUsed] = static_cast<float>(used_ - 1);
    cursor_[kLast] = static_cast<float>(last_);
    cursor_[kMatched] = static_cast<float>(matched_);
    cursor_[kLength] = static_cast<float>(length_);
  }

  /// Appends a symbol to what is looked for: the longest of its suffixes that occurs in the string is now
  /// matched. Returns the place after the last such occurrence; 0 if no suffix occurs.
  int64_t Match(int64_t symbol) {
    Settle();  // the node may have been split since
    while (matched_ != 0 && Next(matched_, symbol) == 0) {
      matched_ = Link(matched_);
      length_ = Length(matched_);
    }
    const int64_t next = Next(matched_, symbol);
    length_ = next == 0 ? 0 : length_ + 1;
    matched_ = next;
    Settle();
    return matched_ == 0 ? 0 : Whole(At(matched_)[kEnd], most_);
  }

  /// Appends a symbol to the string; `end` is its new length.
  void Append(int64_t symbol, int64_t end) {
    if (used_ + 2 > most_) return;  // so full is only what did not come from here
    const int64_t fresh = used_++;
    Clear(fresh);
    At(fresh)[kSize] = static_cast<float>(Length(last_) + 1);
    int64_t p = last_;
    while (p != 0 && Next(p, symbol) == 0) {
      SetNext(p, symbol, fresh);
      p = Link(p);
    }
    const int64_t next = Next(p, symbol);
    if (next == 0) {
      SetNext(p, symbol, fresh);  // the root: the symbol is new
    } else {
      At(fresh)[kLink] = static_cast<float>(Length(p) + 1 == Length(next) ? next : Split(p, next, symbol));
    }
    last_ = fresh;
    // All suffixes of the string end here. They are few unless the string repeats itself throughout.
    for (int64_t node = fresh; node != 0; node = Link(node)) At(node)[kEnd] = static_cast<float>(end);
  }

 private:
  enum Field : int64_t { kLink, kSize, kEnd, kNext };
  enum CursorField : int64_t { kUsed, kLast, kMatched, kLength };

  /// x as a number from 0 to `most`; 0 if it is none.
  static int64_t Whole(float x, int64_t most) {
    return x >= 0 && x <= static_cast<float>(most) ? static_cast<int64_t>(x) : 0;
  }
  int64_t Node(float x) const { return Whole(x, used_ - 1); }
  float* At(int64_t node) const { return nodes_ + node * Stride(symbols_); }
  int64_t Next(int64_t node, int64_t symbol) const { return Node(At(node)[kNext + symbol]); }
  void SetNext(int64_t node, int64_t symbol, int64_t to) const {
    At(node)[kNext + symbol] = static_cast<float>(to);
  }
  int64_t Length(int64_t node) const { return node == 0 ? 0 : Whole(At(node)[kSize], most_); }
  /// A shorter one.
  int64_t Link(int64_t node) const {
    const int64_t link = Node(At(node)[kLink]);
    return Length(link) < Length(node) ? link : 0;
  }
  void Clear(int64_t node) const { std::fill_n(At(node), Stride(symbols_), 0.0f); }

  /// Goes to the node that has the match: links may lead to one that does.
  void Settle() {
    while (matched_ != 0 && Length(Link(matched_)) >= length_) matched_ = Link(matched_);
  }

  /// Splits off of `node`, which `symbol` leads to from `p`, the strings that are no longer than through p:
  /// they end at one more place than the others now.
  int64_t Split(int64_t p, int64_t node, int64_t symbol) {
    const int64_t shorter = used_++;
    std::copy_n(At(node), Stride(symbols_), At(shorter));
    At(shorter)[kSize] = static_cast<float>(Length(p) + 1);
    At(node)[kLink] = static_cast<float>(shorter);
    for (; Next(p, symbol) == node; p = Link(p)) {
      SetNext(p, symbol, shorter);
      if (p == 0) break;
    }
    return shorter;
  }

  float *nodes_, *cursor_;
  int64_t most_, symbols_;
  int64_t used_ = 1, last_ = 0, matched_ = 0, length_ = 0;
};

}  // namespace linnet
