// Multiple choice: which of several texts a model thinks most likely to follow a prompt.
//
// The prompt is read once but for its last tokens; each choice goes on from a copy of the state there, and
// what the prompts of several questions have in common (a heading, worked examples) is read once for all of
// them. States are kept only where that is not felt (kCutRows): scores are the same, to the bit for models
// for which cuts are, as if every prompt and choice were read from the start.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "infer/datasets.h"
#include "infer/evaluate.h"

namespace linnet {

struct Choice {
  std::vector<int> tokens;
  int64_t bytes;  // of its text
};

struct Question {
  std::string subject;
  std::vector<int> prompt;  // with the end-of-text token before it
  std::vector<Choice> choices;
  int answer;
};

/// Prompt and choices are encoded apart.
Question Encode(const Tokenizer& tokenizer, const QuestionText& question);
/// Of two texts the right one comes first; the prompt is the tokens that they have in common.
Question EncodePair(const Tokenizer& tokenizer, const std::pair<std::string, std::string>& texts);

/// Log-likelihoods of the choices of each question, in nats. Questions of one subject that follow each other
/// share the beginning of their prompts. Progress is in questions.
std::vector<std::vector<double>> ScoreQuestions(const LoadedModel& model, std::span<const Question> questions,
                                                const OnProgress& on_progress = {});

/// Right answers among questions. Of k choices with the same, best score the right one counts 1/k.
struct Tally {
  int64_t questions = 0;
  double right = 0;            // by the log-likelihood
  double right_per_token = 0;  // by the log-likelihood over the choice's tokens
  double right_per_byte = 0;   // by the log-likelihood over the choice's bytes
  double chance = 0;           // what guessing would have got right

  void Add(const Question& question, std::span<const double> log_likelihoods);
  double Share(double right_answers) const { return right_answers / static_cast<double>(questions); }
};

}  // namespace linnet
