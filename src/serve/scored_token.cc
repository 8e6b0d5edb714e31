#include "serve/scored_token.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/backend.h"

namespace linnet {

ScoredToken ScoreToken(std::span<const float> logits, int token, int top) {
  const auto vocab = static_cast<Dim>(logits.size());
  const Tensor row = Tensor::Wrap(nullptr, logits.data(), {1, vocab}, DType::kF32);
  const double loss = Backend::For(row.device()).SoftmaxLoss(row, {&token, 1}, /*gradient=*/false, 1, 0);
  Check(!std::isnan(loss), "the score of token {} is not a number: the model's weights are damaged", token);
  ScoredToken score{token, -loss, {}};
  std::vector<int> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = static_cast<ptrdiff_t>(std::clamp<Dim>(top, 0, vocab));
  std::partial_sort(ids.begin(), ids.begin() + count, ids.end(),
                    [&](int a, int b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  for (ptrdiff_t i = 0; i < count; ++i) {
    const double more = static_cast<double>(logits[ids[i]]) - logits[token];
    score.top.emplace_back(ids[i], more - loss);
  }
  return score;
}

}  // namespace linnet
