#include "lab/score.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "base/check.h"
#include "ops/spikes.h"
#include "train/step.h"

namespace linnet::lab {
namespace {

/// -log softmax(logits)[target], and the expectation of `value` under the softmax.
struct Prediction {
  double loss, expected;
  bool right;
};

Prediction Predict(std::span<const float> logits, int target, const Task& task) {
  const float largest = *std::ranges::max_element(logits);
  const bool valued = task.quality() == Quality::kSquaredError;
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp(static_cast<double>(logits[i] - largest));
    sum += weight;
    if (valued) weighted += weight * task.ValueOf(static_cast<int>(i));
  }
  // A model that knows nothing has equal logits; it must not be right by the order of tokens.
  const auto as_likely = std::ranges::count_if(logits, [&](float x) { return x >= logits[target]; });
  return {std::log(sum) - static_cast<double>(logits[target] - largest), weighted / sum, as_likely == 1};
}

/// Logits of the rows that have a target.
Tensor WantedLogits(const LoadedModel& model, const Samples& samples, const State& state) {
  Batch batch = samples.batch;
  for (size_t row = 0; row < samples.targets.size(); ++row) {
    if (samples.targets[row] >= 0) batch.wanted.push_back(static_cast<int>(row));
  }
  return model.model->Forward(batch, state);
}

/// Reads tokens, a chunk at a time, and returns the logits after each.
std::vector<float> ReadInChunks(const LoadedModel& model, std::span<const int> tokens, size_t chunk) {
  State state = model.NewState(1);
  std::vector<float> logits;
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const auto piece = tokens.subspan(begin, std::min(chunk, tokens.size() - begin));
    Batch batch;
    batch.Append({piece.begin(), piece.end()}, 0);
    const Tensor out = model.model->Forward(batch, state);
    logits.insert(logits.end(), out.data(), out.data() + out.size());
  }
  return logits;
}

}  // namespace

double Score::quality(Quality which) const {
  switch (which) {
    case Quality::kAccuracy:
      return accuracy;
    case Quality::kSequenceAccuracy:
      return sequence_accuracy;
    case Quality::kSquaredError:
      return squared_error;
    case Quality::kBitsPerByte:
      return loss / std::numbers::ln2;
  }
  return 0;
}

Score Judge(const LoadedModel& model, const Task& task, std::span<const Samples> passes) {
  Score score;
  int64_t targets = 0, right = 0, whole = 0;
  const ops::SpikeCount spikes;
  for (const Samples& samples : passes) {
    State state = model.NewState(samples.batch.sequences());
    const Tensor logits = WantedLogits(model, samples, state);
    const Dim vocab = logits.dim(1);
    Dim row = 0;
    for (int s = 0; s < samples.batch.sequences(); ++s) {
      bool all = true;
      for (int at = samples.batch.start[s]; at < samples.batch.start[s + 1]; ++at) {
        const int target = samples.targets[at];
        if (target < 0) continue;
        const Prediction p =
            Predict({logits.data() + row++ * vocab, static_cast<size_t>(vocab)}, target, task);
        score.loss += p.loss;
        ++targets;
        if (!task.IsAnswer(target)) continue;
        ++score.answers;
        right += p.right;
        all = all && p.right;
        if (task.quality() == Quality::kSquaredError) {
          score.squared_error += std::pow(p.expected - task.ValueOf(target), 2);
        }
      }
      ++score.sequences;
      whole += all;
    }
  }
  Check(score.answers > 0, "[judge] nothing is to be predicted");
  score.firing_rate = spikes.RateOfBlocks();
  score.loss /= static_cast<double>(targets);
  score.squared_error /= static_cast<double>(score.answers);
  score.accuracy = static_cast<double>(right) / static_cast<double>(score.answers);
  score.sequence_accuracy = static_cast<double>(whole) / static_cast<double>(score.sequences);
  return score;
}

double CarriedBits(const LoadedModel& model, std::span<const Samples> passes, int64_t chunk) {
  std::vector<int> tokens;
  Samples whole;
  for (const Samples& samples : passes) {
    tokens.insert(tokens.end(), samples.batch.tokens.begin(), samples.batch.tokens.end());
    whole.targets.insert(whole.targets.end(), samples.targets.begin(), samples.targets.end());
  }
  whole.batch.Append(tokens, 0);
  const State state = model.NewState(1, State::Mode::kKeepInitial);
  return MeanLoss(model, std::span(&whole, 1), state, chunk) / std::numbers::ln2;
}

Running MeasureRunning(const LoadedModel& model, const std::vector<int>& tokens) {
  using Clock = std::chrono::steady_clock;
  constexpr double kSeconds = 0.3;
  Running running;
  State state = model.NewState(1);
  running.state_bytes = static_cast<int64_t>(state.slot_bytes());

  const std::vector<float> chunks = ReadInChunks(model, tokens, (tokens.size() + 1) / 2);
  const std::vector<float> steps = ReadInChunks(model, tokens, 1);
  double largest = 0, gap = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(steps[i])));
    gap = std::max(gap, std::abs(static_cast<double>(steps[i]) - static_cast<double>(chunks[i])));
  }
  running.parallel_gap = largest > 0 ? gap / largest : 0;

  int64_t read = 0;
  double seconds = 0;
  const auto start = Clock::now();
  while (seconds < kSeconds) {
    state.Reset();
    for (int token : tokens) {
      Batch batch;
      batch.Append({token}, 0);
      model.model->Forward(batch, state);
    }
    read += static_cast<int64_t>(tokens.size());
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  running.tokens_per_s = static_cast<double>(read) / seconds;
  return running;
}

}  // namespace linnet::lab
