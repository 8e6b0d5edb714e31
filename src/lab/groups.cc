// Words of a group: the product of all elements read so far is to be said after each. Merrill et al., "The
// illusion of state in state-space models", arXiv:2404.08819: what a network of a given depth can track
// depends on the group.
//
//   s5, a5      permutations of five things, all 120 and the 60 even ones, in lexicographic order
//   a4z5        pairs of an even permutation of four things and a number modulo 5
//   z60         numbers modulo 60
//   parity      bits: z2, so to say
//
// The product is g_1 o g_2 o ... o g_i, and (p o q)(x) = p(q(x)). As in the paper, words of two elements are
// among those learnt from: `pairs` of a hundred, where all |G|^2 are equally likely.
#include <algorithm>
#include <array>
#include <numeric>

#include "lab/kinds.h"

namespace linnet::lab {
namespace {

/// Elements are numbers from 0; product[a * size + b] is a o b.
struct Group {
  int size;
  std::vector<int> product;

  int operator()(int a, int b) const { return product[a * size + b]; }
};

Group Cyclic(int size) {
  Group group{size, {}};
  for (int a = 0; a < size; ++a) {
    for (int b = 0; b < size; ++b) group.product.push_back((a + b) % size);
  }
  return group;
}

using Arrangement = std::vector<int>;  // x -> p[x]

bool IsEven(const Arrangement& p) {
  int inversions = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    for (size_t j = i + 1; j < p.size(); ++j) inversions += p[i] > p[j];
  }
  return inversions % 2 == 0;
}

Group Permutations(int things, bool even_only) {
  std::vector<Arrangement> elements;
  Arrangement p(things);
  std::iota(p.begin(), p.end(), 0);
  do {
    if (!even_only || IsEven(p)) elements.push_back(p);
  } while (std::next_permutation(p.begin(), p.end()));
  Group group{static_cast<int>(elements.size()), {}};
  for (const Arrangement& a : elements) {
    for (const Arrangement& b : elements) {
      Arrangement ab(things);
      for (int x = 0; x < things; ++x) ab[x] = a[b[x]];
      const auto found = std::ranges::lower_bound(elements, ab);
      group.product.push_back(static_cast<int>(found - elements.begin()));
    }
  }
  return group;
}

/// Element (a, b) is number a * right.size + b.
Group Product(const Group& left, const Group& right) {
  Group group{left.size * right.size, {}};
  for (int x = 0; x < group.size; ++x) {
    for (int y = 0; y < group.size; ++y) {
      const int a = left(x / right.size, y / right.size), b = right(x % right.size, y % right.size);
      group.product.push_back(a * right.size + b);
    }
  }
  return group;
}

class Words : public GeneratedTask {
 public:
  Words(Group group, const TaskArguments& a)
      : group_(std::move(group)), length_(a.at("length")), pairs_(a.at("pairs")) {}

  int64_t vocab() const override { return group_.size; }
  int64_t length() const override { return length_; }
  Quality quality() const override { return Quality::kSequenceAccuracy; }
  Example Draw(Part part, uint64_t seed, int64_t index) const override {
    Example example = GeneratedTask::Draw(part, seed, index);
    if (part != Part::kTraining) return example;
    // By the place alone: whether a word is cut has nothing to do with what it says.
    if (index * pairs_ / 100 == (index + 1) * pairs_ / 100) return example;
    for (size_t i = 2; i < example.targets.size(); ++i) example.tokens[i] = 0, example.targets[i] = -1;
    return example;
  }

 protected:
  Example Make(Random& random) const override {
    Example example;
    int product = 0;  // of none: the first in lexicographic order, and 0, are the identity
    for (int64_t i = 0; i < length_; ++i) {
      const auto element = static_cast<int>(random.Below(group_.size));
      product = group_(product, element);
      example.Append(element, product);
    }
    return example;
  }

 private:
  Group group_;
  int64_t length_, pairs_;
};

TaskKind KindOf(const char* name, const char* what, int64_t length, int64_t pairs,
                std::unique_ptr<Task> (*make)(const TaskArguments&)) {
  return {name,
          what,
          {{"length", length, 2, 1 << 20, "elements of a word"},
           {"pairs", pairs, 0, 100, "words of two elements among a hundred that are learnt from"}},
          64,
          "",
          make};
}

}  // namespace

TaskKind S5Kind() {
  return KindOf("s5", "Follow five things as they are rearranged (words of the group S5)", 12, 10,
                [](const TaskArguments& a) -> std::unique_ptr<Task> {
                  return std::make_unique<Words>(Permutations(5, false), a);
                });
}

TaskKind A5Kind() {
  return KindOf("a5", "Follow five things in even rearrangements alone (words of the group A5)", 12, 10,
                [](const TaskArguments& a) -> std::unique_ptr<Task> {
                  return std::make_unique<Words>(Permutations(5, true), a);
                });
}

TaskKind A4Z5Kind() {
  return KindOf("a4z5", "Even rearrangements of four things, and a sum modulo 5 (words of A4 x Z5)", 12, 10,
                [](const TaskArguments& a) -> std::unique_ptr<Task> {
                  return std::make_unique<Words>(Product(Permutations(4, true), Cyclic(5)), a);
                });
}

TaskKind Z60Kind() {
  return KindOf(
      "z60", "Say the sum so far modulo 60 (words of Z60)", 12, 10,
      [](const TaskArguments& a) -> std::unique_ptr<Task> { return std::make_unique<Words>(Cyclic(60), a); });
}

TaskKind ParityKind() {
  return KindOf(
      "parity", "Say whether the ones so far are odd in number", 64, 0,
      [](const TaskArguments& a) -> std::unique_ptr<Task> { return std::make_unique<Words>(Cyclic(2), a); });
}

}  // namespace linnet::lab
