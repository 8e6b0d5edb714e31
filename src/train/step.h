// The arithmetic of one training step, and of measuring the loss.
#pragma once

#include <optional>
#include <span>

#include "ops/dropout.h"
#include "train/chunks.h"
#include "train/data.h"
#include "train/optimizer.h"
#include "train/recovery.h"

namespace linnet {

class DataParallel;

/// Forward and backward pass over one batch whose sequences begin at the zero state. Adds to the parameters'
/// gradients, times `weight`, and returns the mean loss in nats over the targets that are to be learnt.
/// `state` has a slot for each sequence and is in mode kKeepInitial. `counted` is for samples that are a part
/// of those that the mean is over (ops::LossOptions).
double ForwardBackward(const LoadedModel& model, const Samples& samples, const State& state, double l2_wrap,
                       Dim counted = 0, double weight = 1);

/// Gives `state` more slots where one of the batches has more sequences.
void MakeRoom(const LoadedModel& model, std::span<const Samples> batches, State& state);

struct StepOptions {
  double clip = 1;  // 0: never
  double l2_wrap = 1e-4;
  Chunking chunking = {};
  StepLimits limits = {};
  ops::DropoutMask dropout = {};  // whose rows are counted from the first batch on
  float adapter_dropout = 0;      // with the same seed, step and rows (ops/adapter_dropout.h)
};

struct StepOutcome {
  double loss = 0;                                   // mean over the targets of all batches, nats
  double gradient_norm = 0;                          // of the mean gradient, before clipping
  std::optional<double> firing_rate = std::nullopt;  // of spiking neurons in blocks, if there are any
  bool skipped = false;  // one of the two is not finite or beyond its limit: the weights were left alone
};

/// One update from the mean gradient over the targets of all `batches`. With `parallel`, which then holds the
/// tensors of the optimizer, all processes call it with the same batches and learn from their shares of them
/// (train/data.h), and the outcome is that of all.
StepOutcome TrainStep(const LoadedModel& model, Optimizer& optimizer, std::span<const Samples> batches,
                      const State& state, double lr, const StepOptions& options,
                      DataParallel* parallel = nullptr);

/// Mean loss in nats, without gradients, `chunk` tokens of each sample at a time (0: samples as a whole).
double MeanLoss(const LoadedModel& model, std::span<const Samples> batches, const State& state,
                int64_t chunk = 0);

}  // namespace linnet
