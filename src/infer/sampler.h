// Sampler: picks the next token from a row of logits.
//
// The filters look at p = softmax(logits), at temperature 1, and a token stays if all of them keep it:
//   top_p      drops what is less likely than the token at which the sum of the most likely ones first
//              reaches top_p; tokens equally likely as that one stay
//   top_k      keeps the k most likely (of equals, those with the lower id)
//   min_p      keeps p >= min_p * max p
//   typical_p  comes last and keeps, of what is left, the tokens whose surprise -log p is nearest to the
//              entropy, until their share reaches typical_p
//              (Meister et al., "Locally typical sampling", 2022)
// What is left is drawn with weights p^(1/temperature). Temperature 0 is greedy: it means temperature 1 and
// top_p 0, so that of equally likely tokens each may be drawn (top_k = 1 always takes the first).
//
// Order and cut-offs are those of the `rwkv` Python package, but for two of its traps: there top_p = 1 mostly
// turns greedy, as the rounded sum never reaches 1 (here it filters nothing), and a low temperature
// underflows (here weights are relative to the largest). typical_p, which the package lacks, is apart from
// the others because it may drop the most likely token, which they keep: together they could leave none.
#pragma once

#include <span>
#include <vector>

#include "base/random.h"

namespace linnet {

struct SamplerOptions {
  double temperature = 1;
  double top_p = 1;      // 1 filters nothing
  int top_k = 0;         // 0 filters nothing
  double min_p = 0;      // 0 filters nothing
  double typical_p = 1;  // 1 filters nothing

  /// Throws Error, naming the option and its range, if a value makes no sense.
  void Validate() const;
};

/// The probability of each token to be drawn; sums to 1. Throws Error if a logit is NaN or +infinity, or if
/// all are -infinity (-infinity alone is a banned token).
std::vector<float> SamplingProbabilities(std::span<const float> logits, const SamplerOptions& options);

/// Draws a token. Errors as above.
int Sample(std::span<const float> logits, const SamplerOptions& options, Random& random);

}  // namespace linnet
