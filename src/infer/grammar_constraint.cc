#include "infer/grammar_constraint.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/check.h"
#include "infer/grammar_places.h"

namespace linnet {
namespace {

using Place = GrammarPlaces::Place;
using Stack = GrammarPlaces::Stack;

constexpr float kNever = -std::numeric_limits<float>::infinity();
/// What one grammar keeps at most, about: of places, of masks, and of what fits the states of rules.
constexpr size_t kMostPlaceBytes = size_t{32} << 20, kMostMaskBytes = size_t{8} << 20,
                 kMostStateBytes = size_t{32} << 20;
constexpr int kWord = 64;

/// A bit for each token.
using TokenSet = std::vector<uint64_t>;

void Add(TokenSet& set, int32_t token) { set[token / kWord] |= uint64_t{1} << (token % kWord); }

/// Where texts stand, shared until the table has become too large.
struct SharedPlaces {
  explicit SharedPlaces(const Grammar& grammar) : places(grammar) {}
  GrammarPlaces places;
};

/// What fits a state of a rule, whatever the rule is part of.
struct Fitting {
  std::vector<int32_t> tokens;  // if they are few,
  TokenSet set;                 // or else
  std::vector<int32_t> ends;    // nodes of the tree with others below them, at which the rule may end
};

}  // namespace

struct GrammarMatcher::Tables {
  Tables(Grammar compiled, std::shared_ptr<const VocabularyTree> tree)
      : grammar(std::move(compiled)),
        vocabulary(std::move(tree)),
        path(static_cast<size_t>(vocabulary->longest()) + 1),
        current(std::make_shared<SharedPlaces>(grammar)) {}

  const Grammar grammar;
  const std::shared_ptr<const VocabularyTree> vocabulary;
  std::mutex mutex;  // of all below

  std::unordered_map<int32_t, Fitting> fitting;  // by state
  size_t fitting_bytes = 0;
  std::vector<Place> path;  // of a walk, by depth
  std::shared_ptr<SharedPlaces> current;
  size_t most_place_bytes = kMostPlaceBytes;
  std::unordered_map<Place, TokenSet> masks;  // of places of `current`

  /// Moves to the current table what stands in an old one, and begins a new one if that has become too large.
  void Renew(std::shared_ptr<SharedPlaces>& held, Place& place) {
    const bool full = current->places.bytes() > most_place_bytes;
    if (full) {
      current = std::make_shared<SharedPlaces>(grammar);
      masks.clear();
    }
    if (held == current) return;
    place = held->places.CopyTo(current->places, place);
    held = current;
    // A text may be nested so deep that it nearly fills a table.
    if (full) most_place_bytes = std::max(kMostPlaceBytes, 2 * current->places.bytes());
  }

  const TokenSet& MaskOf(Place place) {
    if (const auto found = masks.find(place); found != masks.end()) return found->second;
    const size_t words = static_cast<size_t>(vocabulary->vocab() + kWord - 1) / kWord;
    if ((masks.size() + 1) * words * sizeof(uint64_t) > kMostMaskBytes) masks.clear();
    if (fitting_bytes > kMostStateBytes) fitting.clear(), fitting_bytes = 0;
    TokenSet mask(words);
    GrammarPlaces& places = current->places;
    const auto ways = places.Stacks(place);
    // A copy: the walk finds new places.
    for (const Stack stack : std::vector<Stack>(ways.begin(), ways.end())) {
      const Fitting& fits = FittingOf(places.state(stack));
      for (const int32_t token : fits.tokens) Add(mask, token);
      for (size_t i = 0; i < fits.set.size(); ++i) mask[i] |= fits.set[i];
      if (places.below(stack) == GrammarPlaces::kBottom || fits.ends.empty()) continue;
      const Place after = places.PlaceOf(places.below(stack));
      for (const int32_t node : fits.ends)
        Walk(after, node + 1, vocabulary->nodes()[node].end, [&](int32_t token) { Add(mask, token); });
    }
    if (places.CanEnd(place)) Add(mask, Tokenizer::kEndOfText);
    return masks.emplace(place, std::move(mask)).first->second;
  }

  const Fitting& FittingOf(int32_t state) {
    if (const auto found = fitting.find(state); found != fitting.end()) return found->second;
    Fitting fits;
    GrammarPlaces& places = current->places;
    const Place begin = places.PlaceOf(places.Push(state, GrammarPlaces::kBottom));
    Walk(
        begin, 0, vocabulary->size(), [&](int32_t token) { fits.tokens.push_back(token); },
        [&](int32_t node) { fits.ends.push_back(node); });
    const size_t words = static_cast<size_t>(vocabulary->vocab() + kWord - 1) / kWord;
    if (fits.tokens.size() > words) {
      fits.set.resize(words);
      for (const int32_t token : fits.tokens) Add(fits.set, token);
      fits.tokens = {};
    }
    fitting_bytes += sizeof(Fitting) + (fits.tokens.size() + fits.ends.size()) * sizeof(int32_t) +
                     fits.set.size() * sizeof(uint64_t);
    return fitting.emplace(state, std::move(fits)).first->second;
  }

  /// The tokens below nodes [node, end) whose bytes from there on fit; and the nodes with others below them
  /// after which nothing need come.
  template <class OnToken, class OnEnd>
  void Walk(Place begin, int32_t node, int32_t end, const OnToken& on_token, const OnEnd& on_end) {
    const auto& nodes = vocabulary->nodes();
    const auto& tokens = vocabulary->tokens();
    if (node == end) return;
    path[nodes[node].depth - 1u] = begin;
    while (node < end) {
      const VocabularyTree::Node& at = nodes[node];
      const Place place = current->places.Next(path[at.depth - 1u], at.byte);
      if (place == GrammarPlaces::kNowhere) {
        node = at.end;
        continue;
      }
      path[at.depth] = place;
      for (int32_t i = at.first_token; i < nodes[node + 1].first_token; ++i) on_token(tokens[i]);
      if (current->places.CanEnd(place) && at.end > node + 1) on_end(node);
      ++node;
    }
  }
  template <class OnToken>
  void Walk(Place begin, int32_t node, int32_t end, const OnToken& on_token) {
    Walk(begin, node, end, on_token, [](int32_t) {});
  }
};

class GrammarMatcher::Text : public Constraint {
 public:
  explicit Text(std::shared_ptr<GrammarMatcher> matcher) : matcher_(std::move(matcher)) {
    Tables& tables = *matcher_->tables_;
    const std::lock_guard lock(tables.mutex);
    held_ = tables.current;
    place_ = held_->places.Begin();
  }
  Text(const Text&) = default;

  void Mask(std::span<float> logits) const override {
    Tables& tables = *matcher_->tables_;
    const std::lock_guard lock(tables.mutex);
    if (done_) return Apply(TokenSet(1, uint64_t{1} << Tokenizer::kEndOfText), logits);
    tables.Renew(held_, place_);
    const TokenSet& mask = tables.MaskOf(place_);
    Check(std::any_of(mask.begin(), mask.end(), [](uint64_t word) { return word != 0; }),
          "[grammar] what has to come next cannot be written with the tokens of this vocabulary");
    Apply(mask, logits);
  }

  void Accept(int token) override {
    Tables& tables = *matcher_->tables_;
    const std::lock_guard lock(tables.mutex);
    Place place = place_;
    if (token == Tokenizer::kEndOfText) {
      Check(done_ || held_->places.CanEnd(place_), "[grammar] the text may not end here");
      done_ = true;
      return;
    }
    Check(token >= 0 && token < tables.vocabulary->vocab(), "[grammar] there is no token {}", token);
    const std::string& bytes = tables.vocabulary->text(token);
    bool fits = !done_ && !bytes.empty();
    for (size_t i = 0; fits && i < bytes.size(); ++i) {
      place = held_->places.Next(place, static_cast<uint8_t>(bytes[i]));
      fits = place != GrammarPlaces::kNowhere;
    }
    Check(fits, "[grammar] token {} does not fit here", token);
    place_ = place;
  }

  bool ended() const override {
    const std::lock_guard lock(matcher_->tables_->mutex);
    return done_ || held_->places.Stacks(place_).empty();
  }

  std::unique_ptr<Constraint> Clone() const override {
    const std::lock_guard lock(matcher_->tables_->mutex);
    return std::make_unique<Text>(*this);
  }

 private:
  static void Apply(const TokenSet& mask, std::span<float> logits) {
    for (size_t begin = 0; begin < logits.size(); begin += kWord) {
      const uint64_t word = begin / kWord < mask.size() ? mask[begin / kWord] : 0;
      const size_t count = std::min<size_t>(kWord, logits.size() - begin);
      if (word == ~uint64_t{0}) continue;
      float* x = logits.data() + begin;
      if (word == 0) {
        std::fill_n(x, count, kNever);
      } else {
        for (size_t i = 0; i < count; ++i) x[i] = (word >> i & 1) != 0 ? x[i] : kNever;
      }
    }
  }

  std::shared_ptr<GrammarMatcher> matcher_;
  mutable std::shared_ptr<SharedPlaces> held_;  // moved when the table is renewed
  mutable Place place_ = GrammarPlaces::kNowhere;
  bool done_ = false;  // the end-of-text token came
};

GrammarMatcher::GrammarMatcher(Grammar grammar, std::shared_ptr<const VocabularyTree> vocabulary)
    : tables_(std::make_unique<Tables>(std::move(grammar), std::move(vocabulary))) {}
GrammarMatcher::~GrammarMatcher() = default;

std::shared_ptr<GrammarMatcher> GrammarMatcher::Make(Grammar grammar,
                                                     std::shared_ptr<const VocabularyTree> vocabulary) {
  return std::shared_ptr<GrammarMatcher>(new GrammarMatcher(std::move(grammar), std::move(vocabulary)));
}

std::unique_ptr<Constraint> GrammarMatcher::NewText() { return std::make_unique<Text>(shared_from_this()); }

size_t GrammarMatcher::bytes() const {
  const std::lock_guard lock(tables_->mutex);
  size_t masks = 0;
  for (const auto& [place, mask] : tables_->masks) masks += mask.size() * sizeof(uint64_t);
  return tables_->current->places.bytes() + tables_->fitting_bytes + masks;
}

}  // namespace linnet
