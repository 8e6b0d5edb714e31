// How well a model does a task, and what running it as a recurrent network takes.
#pragma once

#include <optional>
#include <span>

#include "lab/task.h"
#include "nn/model.h"
#include "train/data.h"

namespace linnet::lab {

struct Score {
  double loss = 0;               // nats a target, mean
  double accuracy = 0;           // share of the answers whose likeliest token is right
  double sequence_accuracy = 0;  // share of the sequences all of whose answers are
  double squared_error = 0;      // mean square of (expected value of the answer - its value)
  int64_t answers = 0, sequences = 0;
  std::optional<double> firing_rate = std::nullopt;  // of spiking neurons in blocks, if there are any

  double quality(Quality which) const;
};

/// Throws Error if nothing is to be predicted.
Score Judge(const LoadedModel& model, const Task& task, std::span<const Samples> passes);

/// Bits a byte of a text that is read as one sequence, `chunk` bytes at a time, the state carried on: the
/// targets of `passes` in their order. Those must be consecutive windows.
double CarriedBits(const LoadedModel& model, std::span<const Samples> passes, int64_t chunk);

struct Running {
  double tokens_per_s = 0;  // one sequence, a token at a time, to the length of the example
  int64_t state_bytes = 0;  // of a sequence
  /// The largest difference of a logit between reading the example in two chunks and token by token, over
  /// the largest logit.
  double parallel_gap = 0;
};

Running MeasureRunning(const LoadedModel& model, const std::vector<int>& tokens);

}  // namespace linnet::lab
