#include "infer/grammar_places.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"

namespace linnet {
namespace {

constexpr size_t kMostWays = 20'000;

uint64_t HashOf(std::span<const int32_t> stacks, bool can_end) {
  const std::string_view bytes{reinterpret_cast<const char*>(stacks.data()), stacks.size_bytes()};
  return Hash(bytes, Hash(can_end ? "e" : ""));
}

}  // namespace

GrammarPlaces::GrammarPlaces(const Grammar& grammar) : grammar_(grammar) {
  stacks_.push_back({-1, kBottom});
  seen_.push_back(0);
  Open();
  Close();  // kNowhere
}

GrammarPlaces::Stack GrammarPlaces::Push(int32_t state, Stack below) {
  // After the last call of a rule nothing is left of it to go on with.
  if (grammar_.state(state).kind == Grammar::Kind::kEnd) return below;
  const uint64_t key = static_cast<uint64_t>(state) << 32 | static_cast<uint32_t>(below);
  const auto [found, is_new] = stack_ids_.try_emplace(key, static_cast<Stack>(stacks_.size()));
  if (is_new) {
    stacks_.push_back({state, below});
    seen_.push_back(0);
  }
  return found->second;
}

void GrammarPlaces::Open() {
  ways_.clear();
  can_end_ = false;
  taken_ = 0;
  ++set_;
}

void GrammarPlaces::Take(Stack first) {
  untaken_.push_back(first);
  while (!untaken_.empty()) {
    const Stack stack = untaken_.back();
    untaken_.pop_back();
    if (seen_[stack] == set_) continue;
    seen_[stack] = set_;
    if (++taken_ > kMostWays) {
      untaken_.clear();
      Fail(
          "[grammar] the text so far can be read in more than {} ways; the grammar says too little of which "
          "one is meant",
          kMostWays);
    }
    if (stack == kBottom) {
      can_end_ = true;
      continue;
    }
    const auto [id, below] = stacks_[stack];
    const Grammar::State& state = grammar_.state(id);
    switch (state.kind) {
      case Grammar::Kind::kEnd:
        break;  // Push() leaves none
      case Grammar::Kind::kBytes:
        ways_.push_back(stack);
        break;
      case Grammar::Kind::kSplit:
        for (const int32_t* next = grammar_.begin_targets(state); next != grammar_.end_targets(state); ++next)
          untaken_.push_back(Push(*next, below));
        break;
      case Grammar::Kind::kCall:
        untaken_.push_back(Push(grammar_.start(state.first), Push(state.second, below)));
        break;
    }
  }
}

GrammarPlaces::Place GrammarPlaces::Close() {
  std::sort(ways_.begin(), ways_.end());
  const uint64_t hash = HashOf(ways_, can_end_);
  for (auto [at, end] = place_ids_.equal_range(hash); at != end; ++at) {
    const auto stacks = Stacks(at->second);
    if (CanEnd(at->second) == can_end_ &&
        std::equal(stacks.begin(), stacks.end(), ways_.begin(), ways_.end()))
      return at->second;
  }
  const size_t begin = stacks_of_places_.size();
  stacks_of_places_.insert(stacks_of_places_.end(), ways_.begin(), ways_.end());
  const auto place = static_cast<Place>(places_.size());
  places_.push_back({begin, stacks_of_places_.size(), can_end_});
  place_ids_.emplace(hash, place);
  // From nowhere, all ways lead nowhere; where a text can only end, too.
  next_.resize(next_.size() + static_cast<size_t>(grammar_.byte_classes()), ways_.empty() ? kNowhere : -1);
  return place;
}

GrammarPlaces::Place GrammarPlaces::Begin() { return PlaceOf(Push(grammar_.start(0), kBottom)); }

GrammarPlaces::Place GrammarPlaces::PlaceOf(Stack stack) {
  Open();
  Take(stack);
  return Close();
}

GrammarPlaces::Place GrammarPlaces::FindNext(Place place, uint8_t byte) {
  Open();
  for (size_t i = places_[place].begin; i < places_[place].end; ++i) {
    const auto [id, below] = stacks_[stacks_of_places_[i]];
    const Grammar::State& state = grammar_.state(id);
    for (const Grammar::Edge* edge = grammar_.begin_edges(state); edge != grammar_.end_edges(state); ++edge) {
      if (byte >= edge->from && byte <= edge->to) Take(Push(edge->next, below));
    }
  }
  const Place next = Close();
  next_[Index(place, byte)] = next;
  return next;
}

GrammarPlaces::Place GrammarPlaces::CopyTo(GrammarPlaces& other, Place place) const {
  std::unordered_map<Stack, Stack> copies{{kBottom, kBottom}};
  std::vector<Stack> ways, path;
  for (const Stack way : Stacks(place)) {
    // Down to what is copied already, then back up.
    for (Stack stack = way; !copies.contains(stack); stack = below(stack)) path.push_back(stack);
    for (; !path.empty(); path.pop_back())
      copies[path.back()] = other.Push(state(path.back()), copies[below(path.back())]);
    ways.push_back(copies[way]);
  }
  other.Open();
  for (const Stack way : ways) other.Take(way);
  other.can_end_ = CanEnd(place);
  return other.Close();
}

size_t GrammarPlaces::bytes() const {
  constexpr size_t kMapEntry = 64;  // about
  return stacks_.size() * (sizeof(StackEntry) + sizeof(uint32_t) + kMapEntry) +
         places_.size() * (sizeof(Entry) + kMapEntry) + stacks_of_places_.size() * sizeof(Stack) +
         next_.size() * sizeof(Place);
}

}  // namespace linnet
