#include "infer/answers.h"

#include <algorithm>
#include <cctype>

#include "base/check.h"
#include "infer/datasets.h"

namespace linnet {

std::vector<AskedQuestion> ReadAskedQuestions(const std::filesystem::path& file) {
  std::vector<AskedQuestion> questions;
  for (auto& [id, question] : ReadStrings(file, "id", "question")) {
    questions.push_back({std::move(id), std::move(question)});
  }
  return questions;
}

WordBag::WordBag(std::string_view text) {
  std::string word;
  const auto end_word = [&] {
    if (word.empty()) return;
    ++counts_[word];
    ++words_;
    word.clear();
  };
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80 || std::isalnum(byte) != 0) {  // letters beyond ASCII are kept as they are
      word += static_cast<char>(byte < 0x80 ? std::tolower(byte) : byte);
    } else {
      end_word();
    }
  }
  end_word();
}

double F1(const WordBag& a, const WordBag& b) {
  int64_t shared = 0;
  for (const auto& [word, count] : a.counts_) {
    const auto found = b.counts_.find(word);
    if (found != b.counts_.end()) shared += std::min(count, found->second);
  }
  return shared == 0 ? 0 : 2.0 * static_cast<double>(shared) / static_cast<double>(a.words_ + b.words_);
}

TaughtAnswers::TaughtAnswers(const std::filesystem::path& file) : name_(file.string()) {
  for (const auto& [id, answer] : ReadStrings(file, "id", "answer")) {
    Check(answers_.emplace(id, WordBag(answer)).second,
          "{}: there are two pairs '{}'; each needs an id of its own", name_, id);
  }
}

TaughtAnswers::Verdict TaughtAnswers::Judge(const std::string& id, std::string_view answer) const {
  const auto right = answers_.find(id);
  Check(right != answers_.end(), "{}: has no pair '{}', which a question names", name_, id);
  const WordBag bag(answer);
  Verdict verdict{id, F1(bag, right->second), false};
  double nearest = verdict.f1;
  for (const auto& [other, words] : answers_) {
    const double f1 = F1(bag, words);
    if (f1 > nearest) {
      nearest = f1;
      verdict.nearest = other;
    }
  }
  verdict.right = verdict.nearest == id && verdict.f1 >= kLeastF1;
  return verdict;
}

}  // namespace linnet
