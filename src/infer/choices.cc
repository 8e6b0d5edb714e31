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

/// Where the state of a question's prompt is kept: the last place where it is not felt with any choice. What
/// predicts a choice's first token comes after it.
size_t KeptLength(const Question& question) {
  size_t shortest = question.choices.front().tokens.size();
  for (const Choice& choice : question.choices) shortest = std::min(shortest, choice.tokens.size());
  const size_t read = question.prompt.size() + shortest - 1;  // the last token is only predicted
  if (read < 2 * kCutRows) return 0;
  return std::min(read - kCutRows, question.prompt.size() - 1) / kCutRows * kCutRows;
}

/// What all prompts of a group begin with, likewise.
size_t SharedLength(std::span<const Question> group) {
  if (group.size() == 1) return 0;
  size_t length = group[0].prompt.size();
  for (const Question& question : group)
    length = std::min({length, CommonLength(group[0].prompt, question.prompt), KeptLength(question)});
  return length / kCutRows * kCutRows;
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
  using Questions = std::span<const Question>;
  using Scores = std::span<std::vector<double>>;

  explicit GroupScorer(const LoadedModel& model)
      : model_(*model.model), reader_(model, kFirstPrompt + kTogether) {}

  /// Reads what the prompts of the group have in common.
  void Begin(Questions group) {
    shared_ = SharedLength(group);
    if (shared_ > 0) Keep({{group[0].prompt, 0, shared_, kShared}});
  }

  /// Scores at most kTogether questions of the group.
  void Score(Questions questions, Scores scores) {
    std::vector<Part> parts;
    for (size_t q = 0; q < questions.size(); ++q) {
      const size_t kept = KeptLength(questions[q]);
      if (kept > shared_)
        parts.push_back({questions[q].prompt, shared_, kept, kFirstPrompt + static_cast<int>(q)});
      scores[q].assign(questions[q].choices.size(), 0);
    }
    Keep(parts);
    ScoreSingle(questions, scores);
    ScoreLonger(questions, scores);
  }

 private:
  /// Questions all of whose choices are one token: what the model says after the prompt scores them all.
  void ScoreSingle(Questions questions, Scores scores) {
    std::vector<Passage> prompts;
    std::vector<size_t> owners;
    for (size_t q = 0; q < questions.size(); ++q) {
      if (!IsSingle(questions[q])) continue;
      prompts.push_back(Rest(questions[q], 0, q));
      owners.push_back(q);
    }
    reader_.Read(EachOf(prompts), [&](const Tensor& hidden, std::span<const PassageRow> rows) {
      for (size_t row = 0; row < rows.size(); ++row) {
        const size_t q = owners[static_cast<size_t>(rows[row].index)];
        scores[q] = FirstTokens(hidden, static_cast<int>(row), questions[q]);
      }
    });
  }

  void ScoreLonger(Questions questions, Scores scores) {
    std::vector<Passage> rests;
    std::vector<std::pair<size_t, size_t>> owners;  // question, choice
    for (size_t q = 0; q < questions.size(); ++q) {
      for (size_t c = 0; c < questions[q].choices.size() && !IsSingle(questions[q]); ++c) {
        rests.push_back(Rest(questions[q], c, q));
        owners.emplace_back(q, c);
      }
    }
    ScorePassages(model_, reader_, EachOf(rests),
                  [&](int64_t index, const Passage&, size_t, const TokenScore& score) {
                    const auto [q, c] = owners[static_cast<size_t>(index)];
                    scores[q][c] -= score.loss;
                  });
  }

  static bool IsSingle(const Question& question) {
    return std::ranges::all_of(question.choices, [](const Choice& c) { return c.tokens.size() == 1; });
  }

  std::vector<double> FirstTokens(const Tensor& hidden, int row, const Question& question) const {
    const std::vector<int> rows(question.choices.size(), row);
    std::vector<int> targets;
    for (const Choice& choice : question.choices) targets.push_back(choice.tokens.front());
    std::vector<double> scores;
    for (const TokenScore& score : ScoreTargets(model_, ops::Rows(hidden, rows), targets))
      scores.push_back(-score.loss);
    return scores;
  }

  /// Tokens [begin, end) of a prompt, after which the state is kept.
  struct Part {
    std::span<const int> prompt;
    size_t begin, end;
    int keep;
  };

  void Keep(const std::vector<Part>& parts) {
    std::vector<Passage> passages;
    for (const auto& [prompt, begin, end, keep] : parts) {
      const auto read = prompt.subspan(begin, end - begin);
      const int from = begin > 0 ? kShared : -1;
      passages.push_back({{read.begin(), read.end()}, read.size() - 1, read.size(), from, begin, keep});
    }
    reader_.Read(EachOf(passages), [](const Tensor&, std::span<const PassageRow>) {});
  }

  /// A choice of the question of that number, after what is left of the prompt.
  Passage Rest(const Question& question, size_t choice, size_t number) const {
    const size_t kept = KeptLength(question);
    std::vector<int> tokens(question.prompt.begin() + static_cast<ptrdiff_t>(kept), question.prompt.end());
    const size_t first = tokens.size();
    const std::vector<int>& more = question.choices[choice].tokens;
    tokens.insert(tokens.end(), more.begin(), more.end());
    Passage passage = Predicting(std::move(tokens), first);
    passage.from = kept > shared_ ? kFirstPrompt + static_cast<int>(number) : shared_ > 0 ? kShared : -1;
    passage.before = kept;
    return passage;
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
