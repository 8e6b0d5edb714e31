// Tape: records what must be done to differentiate, in the order of execution, which is a topological order.
//
// An op asks Tape::For(inputs) whether it should record; there is a tape only while a Tape object is in
// scope, so inference keeps nothing. Backward pops from the end and frees what each step held as it goes.
#pragma once

#include <functional>
#include <vector>

#include "tensor/tensor.h"

namespace linnet {

/// Where a gradient goes. Null for tensors that are not tracked.
using GradientPtr = std::shared_ptr<Gradient>;

class Tape {
 public:
  Tape();
  ~Tape();
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /// The innermost tape in scope of this thread if any of `inputs` is tracked, else null. Empty tensors are
  /// ignored.
  template <class... Inputs>
  static Tape* For(const Inputs&... inputs) {
    Tape* tape = Current();
    return tape != nullptr && (inputs.tracked() || ...) ? tape : nullptr;
  }
  /// The innermost tape in scope, or null.
  static Tape* Current();
  /// Whether there is a tape in scope, be it paused: what is computed now belongs to a training step.
  static bool Training();

  /// Appends a step that turns the gradients of an op's outputs, which the op has tracked, into those of its
  /// inputs.
  void Record(std::function<void()> backward) { steps_.push_back(std::move(backward)); }

  /// Runs all steps from the last to the first, starting from dL/dloss = `seed`. `loss` has one element.
  void Backward(const Tensor& loss, float seed = 1);
  /// The same from gradients that were already put into the outputs.
  void Backward();

 private:
  friend class TapePause;
  Tape* outer_;
  std::vector<std::function<void()>> steps_;
};

/// While in scope nothing is recorded.
class TapePause {
 public:
  TapePause();
  ~TapePause();
  TapePause(const TapePause&) = delete;
  TapePause& operator=(const TapePause&) = delete;

 private:
  Tape* paused_;
};

/// While in scope, `body` is called after each step of this thread's Backward, those of recomputed blocks
/// included, when what the step held is freed. A tensor that no step holds any more gets no gradient any
/// more.
class AfterEachStep {
 public:
  explicit AfterEachStep(std::function<void()> body);
  ~AfterEachStep();
  AfterEachStep(const AfterEachStep&) = delete;
  AfterEachStep& operator=(const AfterEachStep&) = delete;
};

/// gradient += `contribution`, which becomes the gradient itself if it is the first. Does nothing if
/// `gradient` is null.
void Accumulate(const GradientPtr& gradient, Tensor contribution);

/// The gradient so far, for kernels that add to it: zeros of `shape` if there is none yet. Empty if
/// `gradient` is null.
Tensor Accumulator(const GradientPtr& gradient, const Shape& shape);

/// Runs `block` on `inputs` without recording its inside; Backward runs it again to differentiate it. What is
/// kept in between are the inputs alone. No output may be one of the inputs, and `block` must give the same
/// outputs both times: states that it updates must not be the ones it reads (StateRef::in and out differ in
/// training).
std::vector<Tensor> Recompute(const std::vector<Tensor>& inputs,
                              const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& block);

}  // namespace linnet
