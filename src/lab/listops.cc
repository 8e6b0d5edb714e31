#include "lab/listops.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/check.h"
#include "base/permutation.h"
#include "lab/kinds.h"

namespace linnet::lab {
namespace {

int Apply(int operation, std::vector<int>& values) {
  std::ranges::sort(values);
  const size_t n = values.size();
  switch (operation) {
    case kListOpsMin:
      return values.front();
    case kListOpsMax:
      return values.back();
    case kListOpsMedian:
      return (values[(n - 1) / 2] + values[n / 2]) / 2;
    default:
      return std::accumulate(values.begin(), values.end(), 0) % 10;
  }
}

/// Appends a tree and returns its value. Gives up, leaving too many tokens, when it has become too long.
int Grow(Random& random, const ListOpsLimits& limits, int64_t depth, std::vector<int>& tokens) {
  if (depth >= limits.depth || random.Uniform() > 0.25) {
    tokens.push_back(static_cast<int>(random.Below(10)));
    return tokens.back();
  }
  const int operation = kListOpsMin + static_cast<int>(random.Below(4));
  tokens.push_back(operation);
  const auto count = 2 + random.Below(limits.arguments - 1);
  std::vector<int> values;
  for (uint64_t i = 0; i < count && static_cast<int64_t>(tokens.size()) <= limits.longest; ++i) {
    values.push_back(Grow(random, limits, depth + 1, tokens));
  }
  tokens.push_back(kListOpsClose);
  return Apply(operation, values);
}

/// A set of different trees, made once: the first ones are held out.
class ListOps : public Task {
 public:
  explicit ListOps(const TaskArguments& a)
      : limits_{a.at("depth"), a.at("arguments"), a.at("shortest"), a.at("longest")}, count_(a.at("trees")) {
    Check(limits_.longest >= limits_.shortest, "the task listops: longest is {}, shortest {}",
          limits_.longest, limits_.shortest);
    const int64_t wanted = count_ + 2 * kHeldOut;
    std::set<std::vector<int>> seen;
    for (int64_t i = 0; static_cast<int64_t>(trees_.size()) < wanted; ++i) {
      Check(i < 4 * wanted, "the task listops: there are not {} different trees of {} to {} tokens", wanted,
            limits_.shortest, limits_.longest);
      Random random(kSeed, static_cast<uint64_t>(i));
      ListOpsTree tree = DrawListOps(random, limits_);
      if (seen.insert(tree.tokens).second) trees_.push_back(std::move(tree));
    }
  }

  int64_t vocab() const override { return kAsk + 1; }
  int64_t length() const override { return limits_.longest + 1; }
  int64_t held_out() const override { return kHeldOut; }
  std::string Show(int token) const override { return token == kAsk ? "=" : ListOpsWord(token); }

  Example Draw(Part part, uint64_t seed, int64_t index) const override {
    int64_t place = index % kHeldOut + (part == Part::kTest ? kHeldOut : 0);
    if (part == Part::kTraining) {
      const Permutation order(count_, seed * 1000003 + static_cast<uint64_t>(index / count_));
      place = 2 * kHeldOut + order(index % count_);
    }
    const ListOpsTree& tree = trees_[place];
    Example example;
    // Filled up in front, so that the answer stands at the end for all.
    example.PadTo(length() - static_cast<int64_t>(tree.tokens.size()) - 1, kAsk);
    for (int token : tree.tokens) example.Append(token);
    example.Append(kAsk, tree.value);
    return example;
  }

 private:
  static constexpr int kAsk = kListOpsClose + 1;
  static constexpr int64_t kHeldOut = 2000;
  static constexpr uint64_t kSeed = 5;

  ListOpsLimits limits_;
  int64_t count_;
  std::vector<ListOpsTree> trees_;
};

}  // namespace

ListOpsTree DrawListOps(Random& random, const ListOpsLimits& limits) {
  // A tree of the wanted length is one among some hundred or thousand; limits that allow none must end.
  constexpr int64_t kMostTries = 10'000'000;
  ListOpsTree tree;
  for (int64_t i = 0; i < kMostTries; ++i) {
    tree.tokens.clear();
    tree.value = Grow(random, limits, 1, tree.tokens);
    const auto length = static_cast<int64_t>(tree.tokens.size());
    if (length >= limits.shortest && length <= limits.longest) return tree;
  }
  Fail("the task listops: no tree of {} to {} tokens came up; allow more depth, arguments or length",
       limits.shortest, limits.longest);
}

std::string ListOpsWord(int token) {
  constexpr const char* kOperators[] = {"[MIN", "[MAX", "[MED", "[SM", "]"};
  return token < kListOpsMin ? std::to_string(token) : kOperators[token - kListOpsMin];
}

TaskKind ListOpsKind() {
  return {"listops",
          "Work out nested lists of digits: [MAX 2 9 [MIN 4 7 ] 0 ]",
          {{"depth", 4, 2, 20, "of a tree at most"},
           {"arguments", 5, 2, 20, "of an operator at most"},
           {"shortest", 20, 4, 1 << 16, "tokens of a tree at least"},
           {"longest", 200, 4, 1 << 16, "tokens of a tree at most"},
           {"trees", 20000, 1, 1 << 20, "to learn from"}},
          32,
          "",
          [](const TaskArguments& a) -> std::unique_ptr<Task> { return std::make_unique<ListOps>(a); }};
}

}  // namespace linnet::lab
