// Tasks of remembering one thing among many.
//
//   mqar        pairs of key and value, then each key once more, where its value is to be said. Arora et al.,
//               "Zoology", arXiv:2312.04927: keys are 1 to V/2 - 1, values V/2 to V - 1, no key comes twice;
//               the T - 2K places behind the pairs are cut into slots of two, and each key is asked for in
//               the first place of its own slot, j with a chance that goes as j^-0.99: soon rather than late.
//               All other places hold token 0.
//   induction   random symbols, among them once a mark and the symbol behind it; at the end the mark again,
//               to be followed by the same symbol (Dao et al., "Hungry hungry hippos", arXiv:2212.14052).
//   hs2b        the first of n symbols tells the class, all others are noise; the class is asked for at the
//               end. Hochreiter and Schmidhuber's problem 2b (1997) as Martin and Cundy have it,
//               arXiv:1709.04057: x_0 = e_1 or -e_1, then one-hot vectors of random symbols. In tokens e_1 is
//               symbol 0, which the noise has, too, and -e_1 a symbol of its own.
//   adding      numbers in [0, 1), two of them marked, whose sum is to be said at the end (Hochreiter and
//               Schmidhuber 1997). Discretised: a number is one of L levels, q stands for (q + 1/2) / L; a
//               token is the level, plus L if marked; the answer, of 2 L - 1 levels, is the sum of two
//               levels. Always saying 1 has a squared error of 1/6 (1 - 1/L^2).
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "lab/kinds.h"

namespace linnet::lab {
namespace {

/// `count` different numbers of [0, n), in random order.
std::vector<int64_t> Different(Random& random, int64_t n, int64_t count) {
  std::vector<int64_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  for (int64_t i = 0; i < count; ++i) std::swap(all[i], all[i + static_cast<int64_t>(random.Below(n - i))]);
  all.resize(count);
  return all;
}

class Mqar : public GeneratedTask {
 public:
  explicit Mqar(const TaskArguments& a)
      : length_(a.at("length")), pairs_(a.at("pairs")), vocab_(a.at("vocab")) {
    Check(length_ >= 4 * pairs_,
          "the task mqar: {} pairs, and {} slots of two to ask for them in, need a "
          "length of {} but it is {}",
          pairs_, pairs_, 4 * pairs_, length_);
    Check(vocab_ / 2 - 1 >= pairs_, "the task mqar: {} different keys need a vocab of {} but it is {}",
          pairs_, 2 * (pairs_ + 1), vocab_);
  }

  int64_t vocab() const override { return vocab_; }
  int64_t length() const override { return length_; }
  std::string Show(int token) const override { return token == 0 ? "." : GeneratedTask::Show(token); }

 protected:
  Example Make(Random& random) const override {
    const int64_t keys = vocab_ / 2 - 1, values = vocab_ - vocab_ / 2;
    const std::vector<int64_t> chosen = Different(random, keys, pairs_);
    Example example;
    std::vector<int> value(pairs_);
    for (int64_t i = 0; i < pairs_; ++i) {
      value[i] = static_cast<int>(vocab_ / 2 + static_cast<int64_t>(random.Below(values)));
      example.Append(static_cast<int>(1 + chosen[i]));
      example.Append(value[i]);
    }
    example.PadTo(length_, 0);
    std::vector<double> chance((length_ - 2 * pairs_) / 2);
    for (size_t j = 0; j < chance.size(); ++j) chance[j] = std::pow(static_cast<double>(j + 1), -0.99);
    for (int64_t i = 0; i < pairs_; ++i) {
      const size_t place = 2 * pairs_ + 2 * Take(random, chance);
      example.tokens[place] = static_cast<int>(1 + chosen[i]);
      example.targets[place] = value[i];
    }
    return example;
  }

 private:
  /// A slot drawn by its chance, which then has none any more.
  static size_t Take(Random& random, std::vector<double>& chance) {
    double left = random.Uniform() * std::accumulate(chance.begin(), chance.end(), 0.0);
    size_t last = 0;  // with a chance, lest rounding leave none
    for (size_t j = 0; j < chance.size(); ++j) {
      if (chance[j] == 0) continue;
      last = j;
      left -= chance[j];
      if (left < 0) break;
    }
    chance[last] = 0;
    return last;
  }

  int64_t length_, pairs_, vocab_;
};

class Induction : public GeneratedTask {
 public:
  explicit Induction(const TaskArguments& a) : length_(a.at("length")), symbols_(a.at("symbols")) {}

  int64_t vocab() const override { return symbols_ + 1; }
  int64_t length() const override { return length_; }
  std::string Show(int token) const override { return token == mark() ? "!" : GeneratedTask::Show(token); }

 protected:
  Example Make(Random& random) const override {
    Example example;
    for (int64_t i = 0; i + 1 < length_; ++i) example.Append(static_cast<int>(random.Below(symbols_)));
    const auto place = static_cast<int64_t>(random.Below(length_ - 2));
    example.tokens[place] = mark();
    example.Append(mark(), example.tokens[place + 1]);
    return example;
  }

 private:
  int mark() const { return static_cast<int>(symbols_); }
  int64_t length_, symbols_;
};

class Hs2b : public GeneratedTask {
 public:
  explicit Hs2b(const TaskArguments& a) : length_(a.at("length")), symbols_(a.at("symbols")) {}

  int64_t vocab() const override { return symbols_ + 1; }
  int64_t length() const override { return length_; }
  std::string Show(int token) const override {
    return token == symbols_ ? "-e1" : fmt::format("e{}", token + 1);
  }

 protected:
  Example Make(Random& random) const override {
    Example example;
    example.Append(random.Below(2) == 0 ? 0 : static_cast<int>(symbols_));
    for (int64_t i = 1; i < length_; ++i) example.Append(static_cast<int>(random.Below(symbols_)));
    example.targets.back() = example.tokens.front();
    return example;
  }

 private:
  int64_t length_, symbols_;
};

class Adding : public GeneratedTask {
 public:
  explicit Adding(const TaskArguments& a) : length_(a.at("length")), levels_(a.at("levels")) {}

  int64_t vocab() const override { return 2 * levels_; }
  int64_t length() const override { return length_; }
  Quality quality() const override { return Quality::kSquaredError; }
  double ValueOf(int target) const override {
    return (static_cast<double>(target) + 1) / static_cast<double>(levels_);
  }
  std::string Show(int token) const override {
    const auto number = static_cast<double>(token % levels_) + 0.5;
    return fmt::format("{:.3f}{}", number / static_cast<double>(levels_), token < levels_ ? "" : "*");
  }

 protected:
  Example Make(Random& random) const override {
    Example example;
    for (int64_t i = 0; i < length_; ++i) example.Append(static_cast<int>(random.Below(levels_)));
    int sum = 0;
    for (int64_t place : Different(random, length_, 2)) {
      sum += example.tokens[place];
      example.tokens[place] += static_cast<int>(levels_);
    }
    example.targets.back() = sum;
    return example;
  }

 private:
  int64_t length_, levels_;
};

template <class T>
std::unique_ptr<Task> Make(const TaskArguments& arguments) {
  return std::make_unique<T>(arguments);
}

}  // namespace

TaskKind MqarKind() {
  return {"mqar",
          "Read pairs of key and value, then say the value of each key (multi-query associative recall)",
          {{"length", 64, 4, 1 << 20, "tokens of a sequence"},
           {"pairs", 8, 1, 1 << 16, "keys, each with a value"},
           {"vocab", 128, 4, 60000, "half of it keys, half of it values"}},
          32,
          "",
          Make<Mqar>};
}

TaskKind InductionKind() {
  return {"induction",
          "Say what stood behind the mark when it was there before (induction heads)",
          {{"length", 64, 4, 1 << 20, "tokens of a sequence"}, {"symbols", 20, 2, 60000, "that there are"}},
          32,
          "",
          Make<Induction>};
}

TaskKind Hs2bKind() {
  return {"hs2b",
          "Remember the first symbol of many (Hochreiter and Schmidhuber's problem 2b)",
          {{"length", 256, 2, 1 << 21, "tokens of a sequence"}, {"symbols", 128, 2, 60000, "of the noise"}},
          8,
          "",
          Make<Hs2b>};
}

TaskKind AddingKind() {
  return {"adding",
          "Say the sum of the two marked numbers (discretised)",
          {{"length", 100, 2, 1 << 20, "numbers of a sequence"},
           {"levels", 50, 2, 30000, "into which [0, 1) is cut"}},
          32,
          "",
          Make<Adding>};
}

}  // namespace linnet::lab
