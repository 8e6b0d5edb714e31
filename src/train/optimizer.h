// AdamW over all parameters of a model (Loshchilov and Hutter, 2019), in the groups of train/groups.h:
// matrices decay, low-rank factors and vectors do not, and some parameters learn faster than others.
#pragma once

#include <vector>

#include "formats/safetensors.h"
#include "train/groups.h"
#include "train/weights.h"

namespace linnet {

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.99, eps = 1e-18, weight_decay = 0.1;
  Layerwise layerwise = Layerwise::kOn;
};

class Optimizer {
 public:
  /// Works on the parameters of `weights`, which must outlive it. The moments begin at 0.
  Optimizer(const TrainableModel& weights, const OptimizerOptions& options)
      : Optimizer(weights.trained(), options) {}
  /// The same for any tensors, such as the share of one of several processes.
  Optimizer(std::vector<Trained> tensors, const OptimizerOptions& options);

  /// Norm of all gradients together; not finite if any element is not. Parameters that got none do not count.
  double GradientNorm() const;
  /// One update with the gradients times `gradient_scale`. A parameter without a gradient stays as it is.
  void Step(double lr, double gradient_scale);
  void ClearGradients();

  /// Number of updates so far.
  int64_t updates() const { return updates_; }
  const std::vector<Trained>& tensors() const { return tensors_; }
  /// The moments as m.NAME and v.NAME, for the checkpoint: two a tensor. They share the optimizer's memory.
  std::vector<NamedTensor> Moments() const;
  /// Goes on from such moments. Throws Error, naming the tensor, if one is missing or does not fit.
  void Restore(const Checkpoint& checkpoint, int64_t updates);

 private:
  std::vector<Trained> tensors_;
  OptimizerOptions options_;
  std::vector<Tensor> m_, v_;
  int64_t updates_ = 0;
};

}  // namespace linnet
