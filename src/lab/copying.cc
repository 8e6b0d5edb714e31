// Tasks of giving back what was read.
//
//   copy        s | s: the loss is over the second s. Katharopoulos et al., "Transformers are RNNs",
//               arXiv:2006.16236: up to 128 tokens of 10 symbols.
//   memory      10 digits of 1 to 8, T - 1 zeros, eleven 9s; to be said: T + 10 zeros, then the digits. The
//               loss is over all T + 20 places; one that remembers nothing has 10 ln 8 / (T + 20) nats.
//               Hochreiter and Schmidhuber's, as in Bai et al., arXiv:1803.01271.
//   selective   symbols at random places among blanks; then, at as many places, they are asked for in order.
//               Poli et al., "Mechanistic design and scaling of hybrid architectures", arXiv:2403.17844: 16
//               tokens, 256 places, 16 symbols, 12,800 examples that are seen again and again.
//   reversal    "483,384#": a number of up to so many digits, as in BlinkDL's demos of RWKV-7.
#include <algorithm>

#include "base/check.h"
#include "base/permutation.h"
#include "lab/kinds.h"

namespace linnet::lab {
namespace {

class Copy : public GeneratedTask {
 public:
  explicit Copy(const TaskArguments& a) : longest_(a.at("length") / 2), symbols_(a.at("symbols")) {}

  int64_t vocab() const override { return symbols_ + 2; }  // and the bar, and what fills up
  int64_t length() const override { return 2 * longest_; }
  std::string Show(int token) const override {
    if (token == bar()) return "|";
    return token > bar() ? "." : GeneratedTask::Show(token);
  }

 protected:
  Example Make(Random& random) const override {
    const auto n = static_cast<int64_t>(1 + random.Below(longest_));
    std::vector<int> s(n);
    for (int& symbol : s) symbol = static_cast<int>(random.Below(symbols_));
    Example example;
    for (int symbol : s) example.Append(symbol);
    example.Append(bar(), s[0]);
    for (int64_t i = 0; i + 1 < n; ++i) example.Append(s[i], s[i + 1]);
    example.PadTo(length(), bar() + 1);
    return example;
  }

 private:
  int bar() const { return static_cast<int>(symbols_); }
  int64_t longest_, symbols_;
};

class Memory : public GeneratedTask {
 public:
  explicit Memory(const TaskArguments& a) : delay_(a.at("delay")) {}

  int64_t vocab() const override { return 10; }
  int64_t length() const override { return delay_ + 2 * kDigits; }
  bool IsAnswer(int target) const override { return target > 0; }

 protected:
  Example Make(Random& random) const override {
    std::vector<int> digits(kDigits);
    for (int& digit : digits) digit = static_cast<int>(1 + random.Below(8));
    Example example;
    for (int digit : digits) example.Append(digit, 0);
    for (int64_t i = 0; i + 1 < delay_; ++i) example.Append(0, 0);
    example.Append(9, 0);
    for (int digit : digits) example.Append(9, digit);
    return example;
  }

 private:
  static constexpr int64_t kDigits = 10;
  int64_t delay_;
};

/// An endless stream from a pool of examples: all of them in one order, then in another one.
class SelectiveCopy : public GeneratedTask {
 public:
  explicit SelectiveCopy(const TaskArguments& a)
      : length_(a.at("length")), copied_(a.at("copied")), vocab_(a.at("vocab")), pool_(a.at("pool")) {
    Check(length_ >= 2 * copied_, "the task selective: {} copied tokens need a length of {} but it is {}",
          copied_, 2 * copied_, length_);
  }

  int64_t vocab() const override { return vocab_; }
  int64_t length() const override { return length_; }
  std::string Show(int token) const override {
    if (token == blank()) return ".";
    return token == insert() ? "?" : GeneratedTask::Show(token);
  }
  Example Draw(Part part, uint64_t seed, int64_t index) const override {
    if (part != Part::kTraining || pool_ == 0) return GeneratedTask::Draw(part, seed, index);
    const auto epoch = static_cast<uint64_t>(index / pool_);
    const Permutation order(pool_, seed * 1000003 + epoch);
    return GeneratedTask::Draw(part, /*seed=*/0, order(index % pool_));
  }

 protected:
  Example Make(Random& random) const override {
    const int64_t room = length_ - copied_;
    std::vector<int> before(room, blank());
    std::vector<int> symbols;
    // Each place is taken with the chance that leaves all choices of places alike.
    for (int64_t place = 0, wanted = copied_; place < room && wanted > 0; ++place) {
      if (static_cast<int64_t>(random.Below(room - place)) >= wanted) continue;
      before[place] = static_cast<int>(random.Below(vocab_ - 2));
      symbols.push_back(before[place]);
      --wanted;
    }
    Example example;
    for (int token : before) example.Append(token);
    for (int symbol : symbols) example.Append(insert(), symbol);
    return example;
  }

 private:
  int blank() const { return static_cast<int>(vocab_ - 1); }
  int insert() const { return static_cast<int>(vocab_ - 2); }
  int64_t length_, copied_, vocab_, pool_;
};

class Reversal : public GeneratedTask {
 public:
  explicit Reversal(const TaskArguments& a) : digits_(a.at("digits")), length_(2 * digits_ + 2) {
    length_ = std::max(length_, a.at("length"));
  }

  int64_t vocab() const override { return 12; }
  int64_t length() const override { return length_; }
  std::string Show(int token) const override { return std::string(1, "0123456789,#"[token]); }

 protected:
  Example Make(Random& random) const override {
    const auto count = static_cast<int64_t>(1 + random.Below(digits_));
    std::vector<int> n(count);
    for (int& digit : n) digit = static_cast<int>(random.Below(10));
    if (count > 1) n[0] = static_cast<int>(1 + random.Below(9));
    Example example;
    for (int digit : n) example.Append(digit);
    example.Append(kComma, n.back());
    for (int64_t i = count - 1; i >= 0; --i) example.Append(n[i], i > 0 ? n[i - 1] : kEnd);
    example.PadTo(length_, kEnd);
    return example;
  }

 private:
  static constexpr int kComma = 10, kEnd = 11;
  int64_t digits_, length_;
};

template <class T>
std::unique_ptr<Task> Make(const TaskArguments& arguments) {
  return std::make_unique<T>(arguments);
}

}  // namespace

TaskKind CopyKind() {
  return {"copy",
          "Read symbols and a bar, then say the symbols again",
          {{"length", 128, 4, 1 << 20, "tokens of a sequence"}, {"symbols", 10, 2, 60000, "that there are"}},
          32,
          "",
          Make<Copy>};
}

TaskKind MemoryKind() {
  return {"memory",
          "Read ten digits and, after a long pause, say them (the copying memory task)",
          {{"delay", 100, 1, 1 << 20, "zeros between the digits and the answer, and one"}},
          32,
          "",
          Make<Memory>};
}

TaskKind SelectiveCopyKind() {
  return {"selective",
          "Find symbols among blanks and say them in order (selective copy)",
          {{"length", 256, 4, 1 << 20, "tokens of a sequence"},
           {"copied", 16, 1, 1 << 16, "symbols to find"},
           {"vocab", 16, 3, 60000, "symbols, with the blank and the mark that asks for one"},
           {"pool", 12800, 0, int64_t{1} << 40, "training examples that there are; 0: new ones for ever"}},
          32,
          "",
          Make<SelectiveCopy>};
}

TaskKind ReversalKind() {
  return {"reversal",
          "Read a number and a comma, then say its digits backwards",
          {{"digits", 60, 1, 1 << 20, "of the longest number"},
           {"length", 128, 4, 1 << 21, "tokens of a sequence, if the longest number leaves any over"}},
          64,
          "",
          Make<Reversal>};
}

}  // namespace linnet::lab
