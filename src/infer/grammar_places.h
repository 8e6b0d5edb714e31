// GrammarPlaces: where a text can stand in a grammar, found as it is asked for and kept.
//
// One way to read a text so far is a stack: a state of a rule, and on what goes on after that rule. A place
// is the set of all such ways. Stacks share their tails (a stack is a state and a stack), equal stacks and
// equal places are one, so that a text which comes back to the same nesting comes back to the same place, and
// a step over a byte that was taken before is one look into a table (a subset construction, done lazily).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "infer/grammar.h"

namespace linnet {

class GrammarPlaces {
 public:
  using Stack = int32_t;
  using Place = int32_t;
  static constexpr Stack kBottom = 0;  // nothing goes on: the text is whole
  static constexpr Place kNowhere = 0;

  /// `grammar` must outlive it.
  explicit GrammarPlaces(const Grammar& grammar);

  /// Where a text begins.
  Place Begin();
  /// After one more byte; kNowhere if it does not fit. Throws Error if the text can be read in too many ways.
  Place Next(Place place, uint8_t byte) {
    const Place next = next_[Index(place, byte)];
    return next >= 0 ? next : FindNext(place, byte);
  }
  /// Whether nothing need come any more.
  bool CanEnd(Place place) const { return places_[place].can_end; }
  /// The ways to read the text so far: stacks whose state reads a byte.
  std::span<const Stack> Stacks(Place place) const {
    const Entry& entry = places_[place];
    return {stacks_of_places_.data() + entry.begin, entry.end - entry.begin};
  }

  int32_t state(Stack stack) const { return stacks_[stack].state; }
  Stack below(Stack stack) const { return stacks_[stack].below; }
  /// A stack of a state over `below`.
  Stack Push(int32_t state, Stack below);
  /// The place of a text that goes on with a stack.
  Place PlaceOf(Stack stack);

  /// The same place in another table of the same grammar.
  Place CopyTo(GrammarPlaces& other, Place place) const;
  size_t bytes() const;

 private:
  struct StackEntry {
    int32_t state;
    Stack below;
  };
  struct Entry {
    size_t begin, end;  // in stacks_of_places_
    bool can_end;
  };

  size_t Index(Place place, uint8_t byte) const {
    return static_cast<size_t>(place) * static_cast<size_t>(grammar_.byte_classes()) +
           grammar_.byte_class(byte);
  }
  Place FindNext(Place place, uint8_t byte);
  /// Begins a set of ways, takes one and all that it can become without reading, and makes a place of it.
  void Open();
  void Take(Stack stack);
  Place Close();

  const Grammar& grammar_;
  std::vector<StackEntry> stacks_;
  std::unordered_map<uint64_t, Stack> stack_ids_;
  std::vector<Entry> places_;
  std::vector<Stack> stacks_of_places_;
  std::unordered_multimap<uint64_t, Place> place_ids_;
  std::vector<Place> next_;  // of places and byte classes; -1: not yet known

  // The set that is open.
  std::vector<Stack> ways_, untaken_;
  std::vector<uint32_t> seen_;  // by stack: the number of the set that it was seen in
  uint32_t set_ = 0;
  size_t taken_ = 0;
  bool can_end_ = false;
};

}  // namespace linnet
