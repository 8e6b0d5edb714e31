// How many questions a model answers as it was taught to: known questions, asked in words it has not seen.
//
//   pairs      JSON lines {"id", "answer", ...}: what was taught (data/howto.jsonl)
//   questions  JSON lines {"id", "question"}: another phrasing of the question of that pair
//
// Both texts become bags of words, that is runs of letters and digits in small letters. With n the size of
// what two bags share, each word as often as both have it,
//
//   F1 = 2 n / (words of the one + words of the other).
//
// An answer is right if no other pair's answer is nearer to it by F1 than that of the question's pair, and if
// that F1 is at least 1/2. The measure is the one of SQuAD (Rajpurkar et al., arXiv:1606.05250), with which
// the right pair has to win against all others besides.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

/// A question and the pair whose answer it should get.
struct AskedQuestion {
  std::string id, question;
};
/// Throws Error, naming file and line, unless every line has a string "id" and a string "question".
std::vector<AskedQuestion> ReadAskedQuestions(const std::filesystem::path& file);

/// Words and how often each of them comes.
class WordBag {
 public:
  explicit WordBag(std::string_view text);
  /// 0: nothing in common, 1: the same words as often; 0 if either is empty.
  friend double F1(const WordBag& a, const WordBag& b);

 private:
  std::map<std::string, int64_t> counts_;
  int64_t words_ = 0;
};

/// The answers that were taught.
class TaughtAnswers {
 public:
  static constexpr double kLeastF1 = 0.5;

  /// Throws Error, naming file and line, unless every line has a string "id", each another, and a string
  /// "answer".
  explicit TaughtAnswers(const std::filesystem::path& file);

  struct Verdict {
    std::string nearest;  // the id of the pair whose answer is nearest; the right one's where others tie
    double f1;            // to the right pair's answer
    bool right;
  };
  /// Judges what was answered to a question of the pair `id`. Throws Error if there is no such pair.
  Verdict Judge(const std::string& id, std::string_view answer) const;

 private:
  std::string name_;
  std::map<std::string, WordBag> answers_;
};

}  // namespace linnet
