// Candidates: the tokens that may be drawn after a row of logits, and with what weights; the pure part of the
// sampler, whose filters infer/sampler.h defines.
//
// A vocabulary has 65,536 tokens and a draw is due after each, so nothing here sorts them. With weights
// w = exp(logit - largest) the top-p cut-off is the value v for which the sum of all w >= v first reaches
// top_p times the sum of all. It is found by radix: the bits of positive floats order as the floats do, so
// three histograms of 11, 11 and 10 bits, each over what fell into one bucket of the last, lead to v itself.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "base/random.h"

namespace linnet {

struct SamplerOptions;

class Candidates {
 public:
  /// Applies the filters, then the temperature. Throws Error if a logit is NaN or +infinity, or if all are
  /// -infinity (-infinity alone is a banned token).
  void Filter(std::span<const float> logits, const SamplerOptions& options);
  /// Applies the temperature, then keeps the tokens whose surprise is at most `bits`, or else the likeliest
  /// (mirostat). Errors as above.
  void KeepUnsurprising(std::span<const float> logits, double temperature, double bits);

  /// The tokens left, in ascending order, and their weights, which are not normalised.
  std::span<const int> ids() const { return ids_; }
  std::span<const float> weights() const { return weights_; }
  double sum() const;

  /// Index of one of them, drawn by weight.
  size_t Draw(Random& random) const;

 private:
  /// Blocks whose largest weight is known, so that most of them need no second look.
  static constexpr size_t kBlock = 256;

  void Weigh(std::span<const float> logits, double temperature);
  template <class Visit>
  void ForEachAtLeast(float cutoff, const Visit& visit) const;
  float TopPCutoff(double top_p);
  void Gather(float cutoff);
  void KeepTopK(size_t k);
  void KeepTypical(double typical_p);
  void FitBoundary(double top_p, float cutoff);
  void ApplyTemperature(double temperature);

  std::vector<float> all_, block_largest_;  // weights of the whole vocabulary
  double all_sum_ = 0;
  std::vector<int> ids_;
  std::vector<float> weights_;
  std::vector<float> selected_;
};

}  // namespace linnet
