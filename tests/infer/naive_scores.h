// What a model says of tokens, computed in the plainest way.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "infer/tiny_model.h"

namespace linnet {

struct NaiveScore {
  double loss;
  bool likeliest;
};

/// What the model makes of tokens 1, 2, ... (entry 0 belongs to token 1), from the logits of one forward pass
/// over all of them.
inline std::vector<NaiveScore> NaiveScores(const LoadedModel& model, const std::vector<int>& tokens) {
  Batch batch;
  batch.Append(tokens, 0);
  const Tensor logits = model.model->Forward(batch, model.NewState(1));
  const auto vocab = static_cast<size_t>(model.vocab());
  std::vector<NaiveScore> scores;
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    const float* row = logits.data() + i * vocab;
    double sum = 0;
    for (size_t id = 0; id < vocab; ++id) sum += std::exp(static_cast<double>(row[id]));
    const auto target = static_cast<size_t>(tokens[i + 1]);
    scores.push_back({std::log(sum) - row[target], std::max_element(row, row + vocab) == row + target});
  }
  return scores;
}

/// Random lower-case letters and blanks.
inline std::string RandomText(size_t length, uint64_t seed) {
  Random random(seed);
  std::string text;
  for (size_t i = 0; i < length; ++i) text += "abcdefghijklmnopqrstuvwxyz "[random.Below(27)];
  return text;
}

}  // namespace linnet
