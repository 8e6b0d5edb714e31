// What the tasks draw, held against rules that are written another way.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/check.h"
#include "lab/listops.h"
#include "lab/task.h"

namespace linnet::lab {
namespace {

using Ints = std::vector<int>;

constexpr int kExamples = 200;

/// What is to be predicted, in order.
Ints Wanted(const Example& example) {
  Ints wanted;
  std::ranges::copy_if(example.targets, std::back_inserter(wanted), [](int t) { return t >= 0; });
  return wanted;
}

/// Where.
Ints Places(const Example& example) {
  Ints places;
  for (size_t i = 0; i < example.targets.size(); ++i) {
    if (example.targets[i] >= 0) places.push_back(static_cast<int>(i));
  }
  return places;
}

/// Calls visit(example) for training examples and some of the test part.
template <class Visit>
void ForExamples(const std::string& name, const Visit& visit) {
  const NamedTask named = MakeTask(name, {});
  for (int i = 0; i < kExamples; ++i) {
    const Part part = i % 3 == 0 ? Part::kTest : Part::kTraining;
    visit(named.task->Draw(part, 1, i));
  }
}

TEST(Tasks, EachDrawsWhatItPromises) {
  for (const TaskKind& kind : TaskKinds()) {
    if (!kind.data.empty()) continue;
    const NamedTask named = MakeTask(kind.name, {});
    const Task& task = *named.task;
    std::set<Ints> training;
    for (int i = 0; i < 50; ++i) {
      const Example example = task.Draw(Part::kTraining, 7, i);
      ASSERT_EQ(static_cast<int64_t>(example.tokens.size()), task.length()) << named.name;
      ASSERT_EQ(example.tokens.size(), example.targets.size());
      for (int token : example.tokens) ASSERT_TRUE(token >= 0 && token < task.vocab()) << named.name;
      for (int target : example.targets) ASSERT_TRUE(target >= -1 && target < task.vocab()) << named.name;
      EXPECT_FALSE(Wanted(example).empty()) << named.name;
      EXPECT_FALSE(task.Show(example.tokens[0]).empty());
      training.insert(example.tokens);
      EXPECT_EQ(task.Draw(Part::kTraining, 7, i).tokens, example.tokens) << "the same place, another example";
    }
    EXPECT_GT(training.size(), 45u) << named.name << ": places share examples";
    int again = 0;
    for (int i = 0; i < 50; ++i) {
      again += training.contains(task.Draw(Part::kTraining, 8, i).tokens);
      EXPECT_EQ(task.Draw(Part::kTest, 7, i).tokens, task.Draw(Part::kTest, 8, i).tokens);
      EXPECT_NE(task.Draw(Part::kTest, 7, i).tokens, task.Draw(Part::kValidation, 7, i).tokens) << named.name;
    }
    EXPECT_LT(again, 10) << named.name << ": seeds share examples";
  }
}

TEST(Tasks, NamesAndSettings) {
  EXPECT_EQ(MakeTask("mqar:pairs=4", {}).name, "mqar:length=64:pairs=4:vocab=128");
  const auto refuses = [](const std::string& name, const std::string& part) {
    try {
      MakeTask(name, {});
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
      return;
    }
    ADD_FAILURE() << name << " was accepted";
  };
  refuses("mqr", "known are: text, copy");
  refuses("mqar:pair=4", "it has: length, pairs, vocab");
  refuses("mqar:pairs", "whole number");
  refuses("mqar:pairs=4x", "whole number");
  refuses("mqar:pairs=0", "between 1");
  refuses("mqar:pairs=17", "a length of 68");
  refuses("mqar:vocab=16", "a vocab of 18");
  refuses("selective:length=30", "a length of 32");
  refuses("text", "needs a text file");
  EXPECT_THROW(MakeTask("copy", {"file"}), Error);
}

TEST(Tasks, CopySaysWhatStoodBeforeTheBar) {
  std::set<size_t> lengths;
  ForExamples("copy:length=12:symbols=5", [&](const Example& e) {
    const auto bar = std::ranges::find(e.tokens, 5);
    const Ints s(e.tokens.begin(), bar);
    lengths.insert(s.size());
    EXPECT_EQ(Wanted(e), s);
    EXPECT_EQ(Places(e).front(), bar - e.tokens.begin());
    EXPECT_EQ(Places(e).back() - Places(e).front() + 1, static_cast<int>(s.size()));
    // What is said stands in the input, one later.
    for (int place : Places(e)) {
      if (place == Places(e).back()) continue;
      EXPECT_EQ(e.tokens[place + 1], e.targets[place]);
    }
  });
  EXPECT_EQ(lengths, (std::set<size_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Tasks, MemoryIsThatOfItsPaper) {
  const NamedTask named = MakeTask("memory:delay=7", {});
  ForExamples("memory:delay=7", [&](const Example& e) {
    ASSERT_EQ(e.tokens.size(), 27u);
    const Ints digits(e.tokens.begin(), e.tokens.begin() + 10);
    for (int digit : digits) EXPECT_TRUE(digit >= 1 && digit <= 8);
    EXPECT_EQ(std::count(e.tokens.begin() + 10, e.tokens.end(), 0), 6);
    EXPECT_EQ(std::count(e.tokens.begin() + 16, e.tokens.end(), 9), 11);
    EXPECT_EQ(std::count(e.targets.begin(), e.targets.begin() + 17, 0), 17);
    EXPECT_EQ(Ints(e.targets.begin() + 17, e.targets.end()), digits);
    EXPECT_EQ(std::ranges::count_if(e.targets, [&](int t) { return named.task->IsAnswer(t); }), 10);
  });
}

TEST(Tasks, SelectiveCopySkipsBlanks) {
  std::vector<int> taken(24);
  ForExamples("selective:length=32:copied=8:vocab=6:pool=0", [&](const Example& e) {
    Ints symbols;
    for (int i = 0; i < 24; ++i) {
      if (e.tokens[i] == 5) continue;
      EXPECT_LT(e.tokens[i], 4);
      symbols.push_back(e.tokens[i]);
      ++taken[i];
    }
    EXPECT_EQ(symbols.size(), 8u);
    EXPECT_EQ(Wanted(e), symbols);
    EXPECT_EQ(Places(e).front(), 24);
    EXPECT_EQ(std::count(e.tokens.begin() + 24, e.tokens.end(), 4), 8);
  });
  // A third of the examples take each place: 200 / 3, deviation 6.7.
  for (int count : taken) EXPECT_TRUE(count > 67 - 30 && count < 67 + 30) << count;
}

TEST(Tasks, APoolComesAgainInAnotherOrder) {
  const NamedTask named = MakeTask("selective:pool=10", {});
  std::multiset<Ints> first, second;
  std::vector<Ints> order[2];
  for (int i = 0; i < 10; ++i) {
    order[0].push_back(named.task->Draw(Part::kTraining, 1, i).tokens);
    order[1].push_back(named.task->Draw(Part::kTraining, 1, 10 + i).tokens);
    first.insert(order[0].back());
    second.insert(order[1].back());
  }
  EXPECT_EQ(first, second);
  EXPECT_NE(order[0], order[1]);
}

TEST(Tasks, ReversalWritesNumbersBackwards) {
  const NamedTask named = MakeTask("reversal:digits=9:length=4", {});
  std::set<size_t> lengths;
  ForExamples("reversal:digits=9:length=4", [&](const Example& e) {
    std::string text, said;
    for (int token : e.tokens) text += named.task->Show(token);
    for (int target : Wanted(e)) said += named.task->Show(target);
    const size_t comma = text.find(',');
    const std::string n = text.substr(0, comma);
    lengths.insert(n.size());
    EXPECT_TRUE(n.size() == 1 || n[0] != '0');
    EXPECT_EQ(said, std::string(n.rbegin(), n.rend()) + "#");
    EXPECT_EQ(text.substr(comma + 1, n.size()), std::string(n.rbegin(), n.rend()));
    EXPECT_EQ(text.find_first_not_of('#', comma + 1 + n.size()), std::string::npos);
    EXPECT_EQ(Places(e).front(), static_cast<int>(comma));
  });
  EXPECT_EQ(lengths.size(), 9u);
}

TEST(Tasks, MqarAsksForEachKeyOnceAndSoonRatherThanLate) {
  int early = 0, asked = 0;
  ForExamples("mqar:length=64:pairs=8:vocab=40", [&](const Example& e) {
    std::map<int, int> value;
    for (int i = 0; i < 16; i += 2) {
      EXPECT_TRUE(e.tokens[i] >= 1 && e.tokens[i] < 20 && e.tokens[i + 1] >= 20) << e.tokens[i];
      EXPECT_TRUE(value.emplace(e.tokens[i], e.tokens[i + 1]).second) << "a key comes twice";
    }
    std::map<int, int> answered;
    for (int place : Places(e)) {
      EXPECT_TRUE(place >= 16 && place % 2 == 0);
      answered[e.tokens[place]] = e.targets[place];
      ++asked;
      early += place < 16 + 16;  // the first 8 of 24 slots
    }
    EXPECT_EQ(answered, value);
    for (int i = 16; i < 64; ++i) EXPECT_EQ(e.tokens[i] == 0, e.targets[i] < 0);
  });
  // With equal chances a third; the weights j^-0.99 have 0.72 of their sum there, less as slots are used up.
  EXPECT_GT(static_cast<double>(early) / asked, 0.4);
}

TEST(Tasks, InductionSaysWhatFollowedTheMark) {
  ForExamples("induction:length=16:symbols=6", [&](const Example& e) {
    EXPECT_EQ(std::ranges::count(e.tokens, 6), 2);
    EXPECT_EQ(e.tokens.back(), 6);
    const auto first = std::ranges::find(e.tokens, 6);
    EXPECT_EQ(Places(e), Ints{15});
    EXPECT_EQ(e.targets[15], *(first + 1));
    EXPECT_LT(e.targets[15], 6);
  });
}

TEST(Tasks, Hs2bAsksForTheFirst) {
  int negative = 0;
  ForExamples("hs2b:length=20:symbols=12", [&](const Example& e) {
    EXPECT_TRUE(e.tokens[0] == 0 || e.tokens[0] == 12);
    negative += e.tokens[0] == 12;
    EXPECT_EQ(std::count(e.tokens.begin() + 1, e.tokens.end(), 12), 0);
    EXPECT_EQ(Places(e), Ints{19});
    EXPECT_EQ(e.targets[19], e.tokens[0]);
  });
  EXPECT_TRUE(negative > 60 && negative < 140) << negative;
}

TEST(Tasks, AddingAddsTheMarked) {
  const NamedTask named = MakeTask("adding:length=10:levels=20", {});
  double squares = 0;
  ForExamples("adding:length=10:levels=20", [&](const Example& e) {
    double sum = 0;
    int marked = 0;
    for (int token : e.tokens) {
      if (token < 20) continue;
      ++marked;
      sum += (token - 20 + 0.5) / 20;
    }
    EXPECT_EQ(marked, 2);
    EXPECT_EQ(Places(e), Ints{9});
    EXPECT_NEAR(named.task->ValueOf(e.targets[9]), sum, 1e-12);
    squares += (sum - 1) * (sum - 1) / kExamples;
  });
  EXPECT_NEAR(squares, 1.0 / 6, 0.06);
}

/// Where a word of permutations takes x: the last element acts first.
int Follow(const std::vector<Ints>& elements, const Ints& word, size_t length, int x) {
  for (size_t i = length; i-- > 0;) x = elements[word[i]][x];
  return x;
}

void ExpectProducts(const std::string& name, const std::vector<Ints>& elements) {
  ForExamples(name, [&](const Example& e) {
    const Ints wanted = Wanted(e);
    for (size_t i = 0; i < wanted.size(); ++i) {
      for (int x = 0; x < static_cast<int>(elements[0].size()); ++x) {
        EXPECT_EQ(elements[wanted[i]][x], Follow(elements, e.tokens, i + 1, x)) << name;
      }
    }
  });
}

std::vector<Ints> Arrangements(int things, bool even) {
  std::vector<Ints> all;
  Ints p(things);
  std::iota(p.begin(), p.end(), 0);
  do {
    int cycles = 0;  // a permutation is even if things - cycles is
    std::set<int> seen;
    for (int x = 0; x < things; ++x) {
      cycles += !seen.contains(x);
      for (int y = x; seen.insert(y).second;) y = p[y];
    }
    if (!even || (things - cycles) % 2 == 0) all.push_back(p);
  } while (std::next_permutation(p.begin(), p.end()));
  return all;
}

TEST(Tasks, WordsOfPermutations) {
  ExpectProducts("s5", Arrangements(5, false));
  ExpectProducts("a5:length=20", Arrangements(5, true));
  EXPECT_EQ(MakeTask("s5", {}).task->vocab(), 120);
  EXPECT_EQ(MakeTask("a5", {}).task->vocab(), 60);
}

TEST(Tasks, WordsOfAProductOfGroups) {
  // Number 5 a + b, as a permutation of four things and, on things of its own, five in a circle.
  std::vector<Ints> elements;
  for (const Ints& a : Arrangements(4, true)) {
    for (int b = 0; b < 5; ++b) {
      Ints p = a;
      for (int x = 0; x < 5; ++x) p.push_back(4 + (x + b) % 5);
      elements.push_back(p);
    }
  }
  ExpectProducts("a4z5", elements);
}

TEST(Tasks, SumsAndParity) {
  for (const auto& [name, size] : {std::pair{"z60", 60}, std::pair{"parity", 2}}) {
    ForExamples(name, [&, size = size](const Example& e) {
      const Ints wanted = Wanted(e);
      int sum = 0;
      for (size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(wanted[i], (sum += e.tokens[i]) % size);
    });
  }
}

TEST(Tasks, SomeWordsHaveTwoElements) {
  const NamedTask named = MakeTask("a5:pairs=25", {});
  int pairs = 0;
  for (int i = 0; i < 400; ++i) pairs += Wanted(named.task->Draw(Part::kTraining, 1, i)).size() == 2;
  EXPECT_EQ(pairs, 100);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(Wanted(named.task->Draw(Part::kTest, 1, i)).size(), 12u);
}

/// The value of a list, read from the back with a stack.
int ValueOf(const Ints& tokens) {
  std::vector<int> stack;
  for (size_t i = tokens.size(); i-- > 0;) {
    const std::string word = ListOpsWord(tokens[i]);
    if (word == "]") {
      stack.push_back(-1);
    } else if (word[0] != '[') {
      stack.push_back(tokens[i]);
    } else {
      Ints arguments;
      for (; stack.back() != -1; stack.pop_back()) arguments.push_back(stack.back());
      stack.pop_back();
      std::ranges::sort(arguments);
      const size_t n = arguments.size();
      EXPECT_TRUE(n >= 2 && n <= 5) << n;
      int value = 0;
      if (word == "[MIN") value = arguments[0];
      if (word == "[MAX") value = arguments[n - 1];
      if (word == "[MED") {
        value = n % 2 == 1 ? arguments[n / 2] : (arguments[n / 2] + arguments[n / 2 - 1]) / 2;
      }
      if (word == "[SM") {
        for (int a : arguments) value = (value + a) % 10;
      }
      stack.push_back(value);
    }
  }
  EXPECT_EQ(stack.size(), 1u);
  return stack.back();
}

TEST(Tasks, ListOpsAreWorkedOut) {
  const NamedTask named = MakeTask("listops:trees=500", {});
  std::set<Ints> held_out;
  std::map<int, int> operators;
  for (int i = 0; i < 700; ++i) {
    const Part part = i < 500 ? Part::kTraining : i < 600 ? Part::kValidation : Part::kTest;
    const Example e = named.task->Draw(part, 1, i);
    const auto tree = std::ranges::find_if(e.tokens, [](int token) { return token != 15; });
    const Ints tokens(tree, e.tokens.end() - 1);
    EXPECT_TRUE(tokens.size() >= 20 && tokens.size() <= 200);
    EXPECT_EQ(e.tokens.back(), 15);
    EXPECT_EQ(Places(e), Ints{200});
    EXPECT_EQ(e.targets.back(), ValueOf(tokens));
    int depth = 0, deepest = 0;
    for (int token : tokens) {
      depth += token == kListOpsClose ? -1 : token >= kListOpsMin;
      deepest = std::max(deepest, depth);
      if (token >= kListOpsMin && token < kListOpsClose) ++operators[token];
    }
    EXPECT_LE(deepest, 3);  // digits stand at depth 4 at most
    EXPECT_TRUE(held_out.insert(tokens).second) << "a tree comes twice";
  }
  for (const auto& [kind, count] : operators) EXPECT_GT(count, 500) << ListOpsWord(kind);
  EXPECT_THROW(MakeTask("listops:shortest=200:longest=100", {}), Error);
}

}  // namespace
}  // namespace linnet::lab
