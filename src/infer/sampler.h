// Sampler: picks the next token of a text from a row of logits. Each step:
//
//   1. logit += bias of its token                          (-infinity: the token is banned)
//   2. for each token of the text so far:
//        logit = logit > 0 ? logit / repetition : logit * repetition     (Keskar et al., "CTRL", 2019)
//        logit -= presence + count * frequency
//   3. filters look at p = softmax(logits), at temperature 1; a token stays if all of them keep it:
//        top_p      drops what is less likely than the token at which the sum of the most likely ones first
//                   reaches top_p; tokens equally likely as that one stay
//        top_k      keeps the k most likely (of equals, those with the lower id)
//        min_p      keeps p >= min_p * max p
//        typical_p  comes last and keeps, of what is left, the tokens whose surprise -log p is nearest to
//                   the entropy, until their share reaches typical_p
//                   (Meister et al., "Locally typical sampling", 2022)
//   4. what is left is drawn with weights p^(1/temperature). Temperature 0 is greedy: it means temperature 1
//      and top_p 0, so that of equally likely tokens each may be drawn (top_k = 1 always takes the first)
//   5. all counts *= decay; then the count of the drawn token += 1, or += 0 for blanks and digits
//
// Mirostat 2 (Basu et al., "Mirostat", 2020; algorithm 2) takes the place of 3 and 4: p = softmax(logits /
// temperature), and a token stays if its surprise -log2 p is at most mu, which begins at 2 tau. After a draw
// that had the surprise s among those left, mu -= eta * (s - tau).
//
// Order, cut-offs, counts and decay are those of the `rwkv` Python package, but for two of its traps: there
// top_p = 1 mostly turns greedy, as the rounded sum never reaches 1 (here it filters nothing), and a low
// temperature underflows (here weights are relative to the largest). typical_p, which the package lacks, is
// apart from the others because it may drop the most likely token, which they keep: together they could leave
// none. docs/sampling.md says what other programs call all this.
#pragma once

#include <map>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/random.h"
#include "infer/constraint.h"
#include "text/tokenizer.h"

namespace linnet {

struct SamplerOptions {
  double temperature = 1;
  double top_p = 1;      // 1 filters nothing
  int top_k = 0;         // 0 filters nothing
  double min_p = 0;      // 0 filters nothing
  double typical_p = 1;  // 1 filters nothing
  /// The tokens at top_p's border get the weight with which all that is left weighs exactly top_p: the
  /// sampler of the demonstration programs of RWKV-7.
  bool exact_top_p = false;

  double presence_penalty = 0, frequency_penalty = 0;
  double penalty_decay = 0.996;
  double repetition_penalty = 1;  // 1 changes nothing

  double mirostat_tau = 0;  // the surprise to aim at, in bits; 0 is off
  double mirostat_eta = 0.1;

  /// Added to the logit of a token: {id, bias}. -infinity bans it.
  std::map<int, float> bias = {};

  /// Throws Error, naming the option and its range, if a value makes no sense.
  void Validate() const;
};

/// Steps 3 and 4: the probability of each token to be drawn; sums to 1. Throws Error if a logit is NaN or
/// +infinity, or if all are -infinity.
std::vector<float> SamplingProbabilities(std::span<const float> logits, const SamplerOptions& options);

/// The ids of all tokens whose bytes are `text`, or, with `anywhere`, contain it.
std::vector<int> TokensOf(const Tokenizer& tokenizer, std::string_view text, bool anywhere);

/// The sampler of one text: the options with all that they need to remember. A copy goes on where the
/// original is: the same logits give it the same tokens.
class SequenceSampler {
 public:
  /// `tokenizer` says which tokens are blanks and digits, and how many there are: logits beyond them are
  /// padding, which is never drawn. Without one all tokens are alike. It must outlive the sampler. Throws
  /// Error if an option makes no sense.
  SequenceSampler(SamplerOptions options, uint64_t seed, const Tokenizer* tokenizer = nullptr);

  /// Draws a token and takes note of it, as does the constraint, if there is one: what it forbids is never
  /// drawn. Errors as SamplingProbabilities, and if a bias is of a token that is not in the vocabulary.
  int Draw(std::span<const float> logits, Constraint* constraint = nullptr);

  /// Steps 1 and 2, without padding and, with a constraint, what it forbids. The result holds until the next
  /// call on this thread.
  std::span<const float> Adjust(std::span<const float> logits, const Constraint* constraint = nullptr) const;
  /// Step 5, for a token that came from elsewhere.
  void Accept(int token);

  const SamplerOptions& options() const { return options_; }

 private:
  bool Penalizes() const;
  bool Counts(int token) const;

  SamplerOptions options_;
  const Tokenizer* tokenizer_;
  Random random_;
  std::unordered_map<int, double> counts_;  // of the tokens of the text so far
  double mirostat_mu_;                      // bits
};

}  // namespace linnet
