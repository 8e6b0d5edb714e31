// A step of training as the trainer does it, forward and backward pass and optimizer, without its files.
#pragma once

#include "train/speed.h"
#include "train/step.h"

namespace linnet::bench {

/// A model to be trained, with float32 masters of what is not float32.
inline TrainableModel Trainable(LoadedModel model) {
  TrainableModel result{std::move(model), {}, {}, {}, {}};
  result.trainable = result.model.params->parameters();
  for (const Parameter& p : result.parameters()) {
    p.tensor.Track();
    result.masters.push_back(p.tensor.dtype() == DType::kF32 ? Tensor() : Tensor::Empty(p.tensor.shape()));
    if (result.masters.back()) Backend::For(Device::kCpu).Convert(p.tensor, result.masters.back());
  }
  return result;
}

struct StepShape {
  Dim batch, length;
  Chunking chunking = {};
  bool recompute = false;
};

class TrainingStep {
 public:
  TrainingStep(LoadedModel model, const StepShape& shape)
      : weights_(Trainable(std::move(model))),
        optimizer_(weights_, {}),
        state_(weights_.model.NewState(static_cast<int>(shape.batch), State::Mode::kKeepInitial)),
        options_{.chunking = shape.chunking} {
    for (int s = 0; s < shape.batch; ++s) {
      std::vector<int> tokens;
      for (Dim t = 0; t < shape.length; ++t) {
        tokens.push_back(static_cast<int>((t * 7919 + s * 11) % (weights_.model.vocab() - 5)));
      }
      samples_.batch.Append(tokens, s);
      samples_.targets.insert(samples_.targets.end(), tokens.begin(), tokens.end());
    }
    samples_.batch.recompute = shape.recompute;
  }

  void Run() {
    const StepOutcome outcome =
        TrainStep(weights_.model, optimizer_, std::span(&samples_, 1), state_, 1e-4, options_);
    Check(!outcome.skipped, "a step gave no finite loss");
  }
  /// Without clipping and the optimizer.
  void ForwardBackward() {
    optimizer_.ClearGradients();
    linnet::ForwardBackward(weights_.model, samples_, state_, 0);
  }

  const TrainableModel& weights() const { return weights_; }
  Dim parameters() const { return weights_.model.params->count(); }
  double tokens() const { return static_cast<double>(samples_.batch.tokens.size()); }
  double Flops() const { return tokens() * TrainingFlopsPerToken(weights_); }
  const Batch& batch() const { return samples_.batch; }

 private:
  TrainableModel weights_;
  Optimizer optimizer_;
  State state_;
  StepOptions options_;
  Samples samples_;
};

}  // namespace linnet::bench
