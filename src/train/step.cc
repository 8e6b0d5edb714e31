#include "train/step.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "ops/adapter_dropout.h"
#include "ops/ops.h"
#include "ops/spikes.h"
#include "train/data_parallel.h"
#include "train/tuned_states.h"

namespace linnet {

namespace {

/// What this process takes of a pass. Where its share is empty, a token of which nothing is to be learnt, so
/// that it has gradients for the same parameters as the others, which are zero.
Samples MyShare(const Samples& whole, const Communicator& others) {
  Samples share = Share(whole, others.rank(), others.size());
  if (share.targets.empty()) {
    share.batch.Append({whole.batch.tokens.at(0)}, 0);
    share.targets.push_back(-1);
  }
  return share;
}

/// What is trained, among which are the factors of adapters.
std::vector<Tensor> TrainedFactors(const Optimizer& optimizer) {
  std::vector<Tensor> tensors;
  for (const Trained& trained : optimizer.tensors()) tensors.push_back(trained.parameter.tensor);
  return tensors;
}

/// Forward and backward pass over one of the batches, whose gradients count `weight` times. Returns the loss
/// or, of several processes, this one's part of it.
double Pass(const LoadedModel& model, const Samples& batch, const State& state, const StepOptions& options,
            ops::DropoutMask mask, double weight, const DataParallel* parallel) {
  std::optional<Samples> share;
  Dim counted = 0;
  if (parallel != nullptr) {
    const Communicator& others = parallel->others();
    share = MyShare(batch, others);
    counted = CountTargets(batch);
    mask.first_row += ShareBegins(batch, others.rank(), others.size());
  }
  const Samples& samples = share ? *share : batch;
  const ops::DropoutScope dropout(mask);
  return options.chunking.tokens > 0
             ? ForwardBackwardInChunks(model, samples, state, options.l2_wrap, options.chunking, counted,
                                       weight)
             : ForwardBackward(model, samples, state, options.l2_wrap, counted, weight);
}

}  // namespace

double ForwardBackward(const LoadedModel& model, const Samples& samples, const State& state, double l2_wrap,
                       Dim counted, double weight) {
  Tape tape;
  const Tensor hidden = model.model->Hidden(samples.batch, state);
  const Tensor loss = ops::CrossEntropy(
      hidden, model.model->head(), samples.targets,
      {.l2_wrap = static_cast<float>(l2_wrap), .counted = counted, .bias = model.model->head_bias()});
  const double value = loss.data()[0];
  // Gradients of a loss that is no number would only cost time; the step will be skipped. And where gradients
  // end at the borders of chunks, those after the first have nothing to do with initial states that are
  // tuned.
  const bool depends = loss.tracked() || !StatesGoOn::InForce();
  if (std::isfinite(value) && depends) tape.Backward(loss, static_cast<float>(weight));
  return value;
}

StepOutcome TrainStep(const LoadedModel& model, Optimizer& optimizer, std::span<const Samples> batches,
                      const State& state, double lr, const StepOptions& options, DataParallel* parallel) {
  const auto count = static_cast<double>(batches.size());
  int64_t targets = 0;
  for (const Samples& samples : batches) targets += CountTargets(samples);
  StepOutcome outcome;
  const ops::SpikeCount spikes;
  optimizer.ClearGradients();
  const ops::AdapterDropoutScope of_adapters(options.adapter_dropout, TrainedFactors(optimizer));
  ops::DropoutMask mask = options.dropout;
  for (size_t i = 0; i < batches.size(); ++i) {
    const bool last = parallel != nullptr && i + 1 == batches.size();
    std::optional<AfterEachStep> sending;
    if (last) parallel->Begin();
    // Each of several chunks adds to all gradients: these are final only after the last one, in Finish.
    if (last && options.chunking.tokens == 0) sending.emplace([=] { parallel->SendFinal(); });
    // By its targets; exactly 1 where all batches have as many.
    const double weight =
        targets == 0 ? 1
                     : static_cast<double>(CountTargets(batches[i])) * count / static_cast<double>(targets);
    const double loss = Pass(model, batches[i], state, options, mask, weight, parallel);
    mask.first_row += static_cast<int64_t>(batches[i].batch.tokens.size());
    outcome.loss += weight * loss / count;
  }
  outcome.firing_rate = spikes.RateOfBlocks();
  if (parallel != nullptr) parallel->Finish();
  double norm = optimizer.GradientNorm();
  if (parallel != nullptr) {
    outcome.loss = parallel->others().Sum(outcome.loss);
    norm = std::sqrt(parallel->others().Sum(norm * norm));
  }
  outcome.gradient_norm = norm / count;
  outcome.skipped = !std::isfinite(outcome.loss) || !std::isfinite(outcome.gradient_norm) ||
                    outcome.loss > options.limits.loss ||
                    outcome.gradient_norm > options.limits.gradient_norm;
  if (!outcome.skipped) {
    // The reference's clipping adds 1e-6 to the norm.
    const double scale =
        options.clip > 0 ? std::min(1.0, options.clip / (outcome.gradient_norm + 1e-6)) : 1.0;
    optimizer.Step(lr, scale / count);
    if (parallel != nullptr) parallel->SendValues();
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
