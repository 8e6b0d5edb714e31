// Weight averaging: beside the weights w that are trained, an exponential moving average a of them, which
// tends to be the better model while the learning rate is high (Polyak and Juditsky, 1992).
//
//     a <- d a + (1 - d) w        d = min(decay, (1 + n) / (10 + n)) at update n = 1, 2, ...
//
// Without the ramp of d the initial values would be seen for thousands of steps. It costs 4 bytes a parameter
// in memory, and as much in each checkpoint.
#pragma once

#include <vector>

#include "formats/safetensors.h"
#include "train/weights.h"

namespace linnet {

class WeightAverage {
 public:
  /// Begins as a copy of the weights, which must outlive it.
  WeightAverage(const TrainableModel& weights, double decay);

  /// After update number `updates`, counted from 1.
  void Update(int64_t updates);

  /// The averages under their parameters' names. They share the object's memory.
  std::vector<NamedTensor> Values() const;
  /// Goes on from such a file. Throws Error, naming the tensor, if one is missing or does not fit.
  void Restore(const Checkpoint& checkpoint);

  /// While in scope the model computes with the average; then it has its weights again, to the bit.
  class InUse {
   public:
    explicit InUse(WeightAverage& average) : average_(average) { average_.Exchange(); }
    ~InUse() { average_.ExchangeBack(); }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

   private:
    WeightAverage& average_;
  };

 private:
  void Exchange();
  void ExchangeBack();
  void SwapUnrounded();

  const TrainableModel* weights_;
  double decay_;
  std::vector<Tensor> average_;  // empty where a parameter has no float32 values
};

}  // namespace linnet
