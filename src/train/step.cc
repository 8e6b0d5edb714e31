#include "train/step.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

namespace linnet {

double ForwardBackward(const LoadedModel& model, const Samples& samples, const State& state, double l2_wrap,
                       Dim counted, double weight) {
  Tape tape;
  const Tensor hidden = model.model->Hidden(samples.batch, state);
  const Tensor loss = ops::CrossEntropy(hidden, model.model->head(), samples.targets,
                                        {.l2_wrap = static_cast<float>(l2_wrap), .counted = counted});
  const double value = loss.data()[0];
  // Gradients of a loss that is no number would only cost time; the step will be skipped.
  if (std::isfinite(value)) tape.Backward(loss, static_cast<float>(weight));
  return value;
}

StepOutcome TrainStep(const LoadedModel& model, Optimizer& optimizer, std::span<const Samples> batches,
                      const State& state, double lr, const StepOptions& options) {
  const auto count = static_cast<double>(batches.size());
  int64_t targets = 0;
  for (const Samples& samples : batches) targets += CountTargets(samples);
  StepOutcome outcome;
  optimizer.ClearGradients();
  ops::DropoutMask mask = options.dropout;
  for (const Samples& samples : batches) {
    const ops::DropoutScope dropout(mask);
    mask.first_row += static_cast<int64_t>(samples.batch.tokens.size());
    // By its targets; exactly 1 where all batches have as many.
    const double weight =
        targets == 0 ? 1 : static_cast<double>(CountTargets(samples)) * count / static_cast<double>(targets);
    const double loss =
        options.chunking.tokens > 0
            ? ForwardBackwardInChunks(model, samples, state, options.l2_wrap, options.chunking, weight)
            : ForwardBackward(model, samples, state, options.l2_wrap, 0, weight);
    outcome.loss += weight * loss / count;
  }
  outcome.gradient_norm = optimizer.GradientNorm() / count;
  outcome.skipped = !std::isfinite(outcome.loss) || !std::isfinite(outcome.gradient_norm) ||
                    outcome.loss > options.limits.loss ||
                    outcome.gradient_norm > options.limits.gradient_norm;
  if (!outcome.skipped) {
    // The reference's clipping adds 1e-6 to the norm.
    const double scale =
        options.clip > 0 ? std::min(1.0, options.clip / (outcome.gradient_norm + 1e-6)) : 1.0;
    optimizer.Step(lr, scale / count);
  }
  optimizer.ClearGradients();
  return outcome;
}

void MakeRoom(const LoadedModel& model, std::span<const Samples> batches, State& state) {
  int slots = state.slots();
  for (const Samples& samples : batches) slots = std::max(slots, samples.batch.sequences());
  if (slots > state.slots()) state = model.NewState(slots, State::Mode::kKeepInitial);
}

double MeanLoss(const LoadedModel& model, std::span<const Samples> batches, const State& state,
                int64_t chunk) {
  double total = 0;
  int64_t targets = 0;
  for (const Samples& samples : batches) {
    total += LossInChunks(model, samples, state, chunk) * static_cast<double>(CountTargets(samples));
    targets += CountTargets(samples);
  }
  return total / static_cast<double>(std::max<int64_t>(1, targets));
}

}  // namespace linnet
