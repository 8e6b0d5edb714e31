// Steps of a model in training that are run to see what they take: with tokens drawn at random, of the model
// of a run or of one with the same width and fewer layers.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>

#include "train/optimizer.h"
#include "train/step.h"

namespace linnet {

/// What steps of a model took. Bytes and seconds are doubles, as they are computed with.
struct Piece {
  double parameters, trained, flops_per_token;
  double weights, masters, moments, gradients;  // bytes; weights: of the model alone
  double standing;                              // in use between steps, mapped weights among it
  double kept;                                  // after a forward pass
  double loss;                                  // beyond that, in the loss
  double forward;                               // most in a forward pass, above standing
  double backward;                              // most in a backward pass, above standing
  double pass_seconds, update_seconds;
  double evaluation_seconds;  // to measure the loss of a pass
  double first_seconds;       // that the first step and the first measurement take beyond others
  double start_seconds;       // to make the weights and moments
};

/// Seconds that `body` takes.
double SecondsOf(const std::function<void()>& body);

class Trial {
 public:
  /// The model of the run.
  explicit Trial(const TrainOptions& options);
  /// One with so many layers. Adapters and initial states are beside a model of random weights of this type;
  /// patterns may name layers that are not here, and then count for all.
  Trial(const TrainOptions& options, int64_t layers, DType beside);

  /// Steps over so many sequences of so many tokens. Times are left out unless `timed`.
  Piece Measure(int64_t sequences, int64_t length, bool timed);

 private:
  Trial(const TrainOptions& options, const std::function<TrainableModel()>& make);
  /// What was made, in bytes.
  void Count(Piece& piece) const;
  Samples Draw(int64_t sequences, int64_t length) const;
  void Watch(const Samples& samples, const State& state, Piece& piece);
  void Pass(const Samples& samples, const State& state, double before, Piece& piece);
  void Time(const Samples& samples, const State& state, Piece& piece);
  double TimeStep(std::span<const Samples> batches, const State& state);

  TrainOptions options_;
  double base_;
  std::chrono::steady_clock::time_point start_;
  TrainableModel weights_;
  double mapped_;  // bytes of weights that lie in their file
  Optimizer optimizer_;
  double start_seconds_;
};

}  // namespace linnet
