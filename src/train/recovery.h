// What a run does about steps that go wrong.
//
// A step is bad, and leaves the weights alone, if its loss or gradient norm is no finite number, or a spike:
// with the running mean m and deviation s of the good steps before,
//
//     loss > m + k max(s, m / 50)        log norm > m' + k max(s', 0.2)        k = --spike
//
// The lower bounds keep a very even run from taking small things for spikes: with k = 10 a loss is at least a
// fifth, a norm more than seven times, above what is usual. A spike counts in mean and deviation as if it had
// just reached the limit, so that other data, which stay hard, are soon taken for what they are.
//
// Several bad steps in a row mean that the weights are beyond help: the run returns to a checkpoint and goes
// on with other data. If that happens again soon, it returns further; after a few times it gives up. All of
// it follows from the losses, so that a run that was killed in between does the same again.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace linnet {

/// Beyond these a step is bad.
struct StepLimits {
  double loss = std::numeric_limits<double>::infinity();
  double gradient_norm = std::numeric_limits<double>::infinity();
};

/// Mean and variance of what came lately: over all of the first 50 numbers, then weights that fall by 2% a
/// number.
struct RunningMoments {
  double mean = 0, variance = 0;
  int64_t count = 0;

  void Add(double x);
  /// mean + k max(deviation, least); infinite before there are 50 numbers.
  double Limit(double k, double least) const;
};

class Recovery {
 public:
  static constexpr int kMostBad = 5;      // steps in a row
  static constexpr int kMostReturns = 3;  // until `kCalm` steps beyond the trouble have passed
  static constexpr int64_t kCalm = 50;

  /// `deviations` is k; 0 for no limits but that numbers be finite.
  explicit Recovery(double deviations) : deviations_(deviations) {}

  /// For the step to come.
  StepLimits limits() const;
  /// What came of a step.
  void Count(int64_t step, double loss, double gradient_norm, bool bad);

  /// Whether the last step was good (or none was yet).
  bool good() const { return bad_in_a_row_ == 0; }
  /// Whether the run has to return to a checkpoint.
  bool must_return() const { return bad_in_a_row_ >= kMostBad; }
  /// How often it has returned because of the present trouble.
  int returns_in_a_row() const { return returns_in_a_row_; }
  int64_t returns() const { return returns_; }
  /// The number that stands for `step` where data and masks are drawn: other ones after each return.
  int64_t DrawnAs(int64_t step) const { return step + (returns_ << 40); }

  /// Takes over from `before`, which had to return at its last step, as this one goes on from a checkpoint.
  void ReturnFrom(const Recovery& before);

  /// For the checkpoint.
  std::string ToJson() const;
  /// Throws Error, naming the file `where`, if `text` is none of these.
  void Restore(const std::string& text, const std::string& where);

 private:
  double deviations_;
  RunningMoments loss_, log_norm_;
  int bad_in_a_row_ = 0;
  int64_t returns_ = 0;
  int returns_in_a_row_ = 0;
  int64_t last_bad_step_ = -1;
};

/// "the loss 9.12 is above 2.5 (--spike 10)", "the gradient is not a finite number".
std::string WhatWasBad(double loss, double gradient_norm, const StepLimits& limits, double deviations);

}  // namespace linnet
