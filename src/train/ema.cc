#include "train/ema.h"

#include <algorithm>

#include "kernels/backend.h"

namespace linnet {
namespace {

Backend& Cpu() { return Backend::For(Device::kCpu); }

}  // namespace

WeightAverage::WeightAverage(const TrainableModel& weights, double decay)
    : weights_(&weights), decay_(decay) {
  for (size_t i = 0; i < weights.parameters().size(); ++i) {
    const Tensor& values = weights.values(i);
    average_.push_back(values.dtype() == DType::kF32 ? values.Clone() : Tensor());
  }
}

void WeightAverage::Update(int64_t updates) {
  const auto n = static_cast<double>(updates);
  const double decay = std::min(decay_, (1 + n) / (10 + n));
  for (size_t i = 0; i < average_.size(); ++i) {
    if (!average_[i]) continue;
    const Tensor part = weights_->values(i).Clone();
    Cpu().Scale(static_cast<float>(1 - decay), part);
    Cpu().Scale(static_cast<float>(decay), average_[i]);
    Cpu().AddTo(part, average_[i]);
  }
}

std::vector<NamedTensor> WeightAverage::Values() const {
  std::vector<Tensor> values;
  for (size_t i = 0; i < average_.size(); ++i) {
    values.push_back(average_[i] ? average_[i] : weights_->values(i));
  }
  return weights_->Contents(values);
}

void WeightAverage::Restore(const Checkpoint& checkpoint) {
  for (size_t i = 0; i < average_.size(); ++i) {
    if (!average_[i]) continue;
    const std::string &name = weights_->parameters()[i].name, file = checkpoint.path().string();
    const Checkpoint::Entry* entry = checkpoint.Find(name);
    Check(entry != nullptr, "{}: the tensor {} is missing", file, name);
    Check(entry->shape == average_[i].shape() && entry->dtype == DType::kF32,
          "{}: {} must be {} f32 but is {} {}", file, name, average_[i].shape(), entry->shape,
          Traits(entry->dtype).name);
    Cpu().Convert(checkpoint.Load(name), average_[i]);
  }
}

/// Parameters that are their own masters lie where the model looks, so values change places.
void WeightAverage::SwapUnrounded() {
  for (size_t i = 0; i < average_.size(); ++i) {
    if (!average_[i] || weights_->masters[i]) continue;
    const Tensor& values = weights_->values(i);
    std::swap_ranges(values.data(), values.data() + values.size(), average_[i].data());
  }
}

void WeightAverage::Exchange() {
  SwapUnrounded();
  for (size_t i = 0; i < average_.size(); ++i) {
    if (average_[i] && weights_->masters[i]) Cpu().Convert(average_[i], weights_->parameters()[i].tensor);
  }
}

void WeightAverage::ExchangeBack() {
  SwapUnrounded();
  for (size_t i = 0; i < average_.size(); ++i) {
    if (average_[i] && weights_->masters[i]) {
      Cpu().Convert(weights_->masters[i], weights_->parameters()[i].tensor);
    }
  }
}

}  // namespace linnet
