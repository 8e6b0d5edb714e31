#include "train/optimizer.h"

#include <cmath>

#include "kernels/backend.h"

namespace linnet {

Optimizer::Optimizer(const TrainableModel& weights, const OptimizerOptions& options)
    : weights_(&weights), options_(options) {
  for (const Parameter& p : weights.parameters()) {
    m_.push_back(Tensor::Zeros(p.tensor.shape()));
    v_.push_back(Tensor::Zeros(p.tensor.shape()));
  }
}

double Optimizer::GradientNorm() const {
  std::vector<Tensor> gradients;
  for (const Parameter& p : weights_->parameters()) {
    if (p.tensor.grad()) gradients.push_back(p.tensor.grad());
  }
  return std::sqrt(Backend::For(Device::kCpu).SumSquares(gradients));
}

void Optimizer::Step(double lr, double gradient_scale) {
  std::vector<AdamWItem> items;
  for (size_t i = 0; i < m_.size(); ++i) {
    const Parameter& p = weights_->parameters()[i];
    if (!p.tensor.grad()) continue;
    const double decay = Decays(p) ? options_.weight_decay : 0;
    items.push_back({p.tensor, weights_->masters[i], p.tensor.grad(), m_[i], v_[i],
                     static_cast<float>(lr * LearningRateScale(p, options_.layerwise)),
                     static_cast<float>(decay)});
  }
  AdamWOptions step;
  step.beta1 = static_cast<float>(options_.beta1);
  step.beta2 = static_cast<float>(options_.beta2);
  step.eps = static_cast<float>(options_.eps);
  step.step = ++updates_;
  step.gradient_scale = static_cast<float>(gradient_scale);
  Backend::For(Device::kCpu).AdamW(items, step);
}

void Optimizer::ClearGradients() {
  for (const Parameter& p : weights_->parameters()) p.tensor.ClearGrad();
}

std::vector<NamedTensor> Optimizer::Moments() const {
  std::vector<NamedTensor> moments;
  for (size_t i = 0; i < m_.size(); ++i) {
    moments.push_back({"m." + weights_->parameters()[i].name, m_[i]});
    moments.push_back({"v." + weights_->parameters()[i].name, v_[i]});
  }
  return moments;
}

void Optimizer::Restore(const Checkpoint& checkpoint, int64_t updates) {
  for (const NamedTensor& moment : Moments()) {
    const Checkpoint::Entry* entry = checkpoint.Find(moment.name);
    const std::string file = checkpoint.path().string();
    Check(entry != nullptr, "{}: the tensor {} is missing", file, moment.name);
    Check(entry->shape == moment.tensor.shape() && entry->dtype == DType::kF32,
          "{}: {} must be {} f32 but is {} {}", file, moment.name, moment.tensor.shape(), entry->shape,
          Traits(entry->dtype).name);
    Backend::For(moment.tensor.device()).Convert(checkpoint.Load(moment.name), moment.tensor);
  }
  updates_ = updates;
}

}  // namespace linnet
