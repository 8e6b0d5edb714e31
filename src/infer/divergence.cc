#include "infer/divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/parallel.h"

namespace linnet {
namespace {

/// Rows of one forward pass: two models' logits [rows, V] are in memory at once.
constexpr size_t kRows = 128;

/// log of the sum of exp(x).
double LogSum(std::span<const float> x) {
  const double largest = *std::ranges::max_element(x);
  double sum = 0;
  for (float value : x) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

struct RowResult {
  double kl, model_loss, copy_loss;
  bool same_top;
};

RowResult CompareRows(std::span<const float> model, std::span<const float> copy, int target) {
  const double p_sum = LogSum(model), q_sum = LogSum(copy);
  double kl = 0;
  for (size_t i = 0; i < model.size(); ++i) {
    const double log_p = model[i] - p_sum, log_q = copy[i] - q_sum;
    kl += std::exp(log_p) * (log_p - log_q);
  }
  const bool same =
      std::ranges::max_element(model) - model.begin() == std::ranges::max_element(copy) - copy.begin();
  return {kl, p_sum - model[target], q_sum - copy[target], same};
}

}  // namespace

Divergence CompareModels(const LoadedModel& model, const LoadedModel& copy, std::span<const int> tokens,
                         const std::function<void(int64_t done)>& on_progress) {
  Check(tokens.size() >= 2, "[compare] needs at least two tokens, but has {}", tokens.size());
  Check(model.vocab() == copy.vocab(), "[compare] the vocabularies differ: {} and {}", model.vocab(),
        copy.vocab());
  const State model_state = model.NewState(1), copy_state = copy.NewState(1);
  const auto vocab = static_cast<size_t>(model.vocab());
  Divergence result;
  result.tokens = static_cast<int64_t>(tokens.size()) - 1;
  double kl = 0, model_loss = 0, copy_loss = 0, same = 0;
  for (size_t done = 0; done + 1 < tokens.size();) {
    const size_t rows = std::min(kRows, tokens.size() - 1 - done);
    const auto chunk = tokens.subspan(done, rows);
    Batch batch;
    batch.Append({chunk.begin(), chunk.end()}, 0);
    const Tensor p = model.model->Forward(batch, model_state), q = copy.model->Forward(batch, copy_state);
    std::vector<RowResult> compared(rows);
    ParallelFor(static_cast<int64_t>(rows), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        compared[i] =
            CompareRows({p.data() + i * vocab, vocab}, {q.data() + i * vocab, vocab}, tokens[done + i + 1]);
      }
    });
    for (const RowResult& row : compared) {
      kl += row.kl;
      model_loss += row.model_loss;
      copy_loss += row.copy_loss;
      same += row.same_top;
      result.largest_kl = std::max(result.largest_kl, row.kl);
    }
    done += rows;
    if (on_progress) on_progress(static_cast<int64_t>(done));
  }
  const auto count = static_cast<double>(result.tokens);
  result.mean_kl = kl / count;
  result.model_perplexity = std::exp(model_loss / count);
  result.copy_perplexity = std::exp(copy_loss / count);
  result.same_top = same / count;
  return result;
}

}  // namespace linnet
