#include "infer/choices.h"

#include <algorithm>

#include "ops/ops.h"

namespace linnet {
namespace {

/// Questions whose prompts are read together.
constexpr int kTogether = 16;
/// The kept states: what the prompts have in common, and one for each prompt.
constexpr int kShared = 0, kFirstPrompt = 1;

/// Length of the longest common beginning.
size_t CommonLength(std::span<const int> a, std::span<const int> b) {
  const auto [end, other] = std::ranges::mismatch(a, b);
  return static_cast<size_t>(end - a.begin());
}

/// What all prompts of a group begin with; every prompt has at least one token after it.
size_t SharedLength(std::span<const Question> group) {
  size_t length = group[0].prompt.size();
  for (const Question& question : group) {
    length = std::min({length, CommonLength(group[0].prompt, question.prompt), question.prompt.size() - 1});
  }
  return group.size() > 1 ? length : 0;
}

/// Hands out the passages of a list.
PassageReader::Next EachOf(std::vector<Passage>& passages) {
  return [&passages, given = size_t{0}](Passage& passage) mutable {
    if (given == passages.size()) return false;
    passage = std::move(passages[given++]);
    return true;
  };
}

class GroupScorer {
 public:
  explicit GroupScorer(const LoadedModel& model)
      : model_(*model.model), reader_(model, kFirstPrompt + kTogether) {}

  /// Reads what the prompts of the group have in common.
  void Begin(std::span<const Question> group) {
    shared_ = SharedLength(group);
    if (shared_ == 0) return;
    const auto first = group[0].prompt.begin();
    std::vector<Passage> passages = {
        {{first, first + static_cast<ptrdiff_t>(shared_)}, shared_ - 1, shared_, -1, kShared}};
    reader_.Read(EachOf(passages), [](const Tensor&, std::span<const PassageRow>) {});
  }

  /// Scores at most kTogether questions of the group.
  void Score(std::span<const Question> questions, std::span<std::vector<double>> scores) {
    std::vector<Passage> prompts, rests;
    std::vector<std::pair<size_t, size_t>> owners;  // of the rests: question, choice
    for (size_t q = 0; q < questions.size(); ++q) {
      const std::vector<int>& prompt = questions[q].prompt;
      const int kept = kFirstPrompt + static_cast<int>(q);
      prompts.push_back({{prompt.begin() + static_cast<ptrdiff_t>(shared_), prompt.end()},
                         prompt.size() - shared_ - 1,
                         prompt.size() - shared_,
                         shared_ > 0 ? kShared : -1,
                         kept});
      for (size_t c = 0; c < questions[q].choices.size(); ++c) {
        const std::vector<int>& tokens = questions[q].choices[c].tokens;
        if (tokens.size() < 2) continue;
        rests.push_back(Predicting(tokens));
        rests.back().from = kept;
        owners.emplace_back(q, c);
      }
    }
    // The prompt predicts the first token of every choice, the choice itself the others.
    reader_.Read(EachOf(prompts), [&](const Tensor& hidden, std::span<const PassageRow> rows) {
      for (size_t row = 0; row < rows.size(); ++row) {
        const auto q = static_cast<size_t>(rows[row].index);
        scores[q] = FirstTokens(hidden, static_cast<int>(row), questions[q]);
      }
    });
    ScorePassages(model_, reader_, EachOf(rests),
                  [&](int64_t index, const Passage&, size_t, const TokenScore& score) {
                    const auto [q, c] = owners[static_cast<size_t>(index)];
                    scores[q][c] -= score.loss;
                  });
  }

 private:
  std::vector<double> FirstTokens(const Tensor& hidden, int row, const Question& question) const {
    const std::vector<int> rows(question.choices.size(), row);
    std::vector<int> targets;
    for (const Choice& choice : question.choices) targets.push_back(choice.tokens.front());
    std::vector<double> scores;
    for (const TokenScore& score : ScoreTargets(model_, ops::Rows(hidden, rows), targets)) {
      scores.push_back(-score.loss);
    }
    return scores;
  }

  const Model& model_;
  PassageReader reader_;
  size_t shared_ = 0;
};

/// 1 if the answer alone has the best score, 1/k if k choices have it and the answer is one of them, else 0.
double Right(std::span<const double> scores, int answer) {
  const double best = *std::ranges::max_element(scores);
  if (scores[static_cast<size_t>(answer)] < best) return 0;
  return 1.0 / static_cast<double>(std::ranges::count(scores, best));
}

}  // namespace

Question Encode(const Tokenizer& tokenizer, const QuestionText& text) {
  Question question{text.subject, {Tokenizer::kEndOfText}, {}, text.answer};
  const std::vector<int> prompt = tokenizer.Encode(text.prompt);
  question.prompt.insert(question.prompt.end(), prompt.begin(), prompt.end());
  for (const std::string& choice : text.choices) {
    question.choices.push_back({tokenizer.Encode(choice), static_cast<int64_t>(choice.size())});
  }
  return question;
}

Question EncodePair(const Tokenizer& tokenizer, const std::pair<std::string, std::string>& texts) {
  const std::vector<int> right = tokenizer.Encode(texts.first), wrong = tokenizer.Encode(texts.second);
  size_t common = CommonLength(right, wrong);
  common = std::min({common, right.size() - 1, wrong.size() - 1});  // something must be left of both
  Question question{"", {Tokenizer::kEndOfText}, {}, 0};
  question.prompt.insert(question.prompt.end(), right.begin(),
                         right.begin() + static_cast<ptrdiff_t>(common));
  for (const std::vector<int>& tokens : {right, wrong}) {
    Choice choice{{tokens.begin() + static_cast<ptrdiff_t>(common), tokens.end()}, 0};
    choice.bytes = static_cast<int64_t>(tokenizer.Decode(choice.tokens).size());
    question.choices.push_back(std::move(choice));
  }
  return question;
}

std::vector<std::vector<double>> ScoreQuestions(const LoadedModel& model, std::span<const Question> questions,
                                                const OnProgress& on_progress) {
  GroupScorer scorer(model);
  std::vector<std::vector<double>> scores(questions.size());
  for (size_t begin = 0, end; begin < questions.size(); begin = end) {
    end = begin + 1;
    while (end < questions.size() && questions[end].subject == questions[begin].subject) ++end;
    scorer.Begin(questions.subspan(begin, end - begin));
    for (size_t at = begin; at < end; at += kTogether) {
      const size_t count = std::min<size_t>(kTogether, end - at);
      scorer.Score(questions.subspan(at, count), std::span(scores).subspan(at, count));
      if (on_progress) {
        on_progress(static_cast<int64_t>(at + count), static_cast<int64_t>(questions.size()));
      }
    }
  }
  return scores;
}

void Tally::Add(const Question& question, std::span<const double> log_likelihoods) {
  std::vector<double> per_token, per_byte;
  for (size_t i = 0; i < log_likelihoods.size(); ++i) {
    const Choice& choice = question.choices[i];
    per_token.push_back(log_likelihoods[i] / static_cast<double>(choice.tokens.size()));
    per_byte.push_back(log_likelihoods[i] / static_cast<double>(choice.bytes));
  }
  ++questions;
  right += Right(log_likelihoods, question.answer);
  right_per_token += Right(per_token, question.answer);
  right_per_byte += Right(per_byte, question.answer);
  chance += 1.0 / static_cast<double>(question.choices.size());
}

}  // namespace linnet
