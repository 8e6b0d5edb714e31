// How far a model is from the one it was made of: both read the same text, and after each token their
// distributions p and q of the next one are compared. KL(p || q) = sum_i p_i log(p_i / q_i), in nats, is what
// the wrong distribution costs per token; 0 means they are the same.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "nn/model.h"

namespace linnet {

struct Divergence {
  int64_t tokens = 0;     // predicted
  double mean_kl = 0;     // KL(model || copy) per token
  double largest_kl = 0;  // of a single token
  double model_perplexity = 0, copy_perplexity = 0;
  double same_top = 0;  // share of tokens for which both have the same likeliest one

  /// (copy's perplexity / model's - 1) * 100
  double change_percent() const { return (copy_perplexity / model_perplexity - 1) * 100; }
};

/// Compares `copy` with `model` on the predictions of tokens[1], tokens[2], ...; the states are carried
/// along. Throws Error if there are fewer than two tokens or the vocabularies differ.
Divergence CompareModels(const LoadedModel& model, const LoadedModel& copy, std::span<const int> tokens,
                         const std::function<void(int64_t done)>& on_progress = {});

}  // namespace linnet
