#include "train/optimizer.h"

#include <cmath>
#include <cstring>

#include "kernels/backend.h"

namespace linnet {

Optimizer::Optimizer(std::vector<Trained> tensors, const OptimizerOptions& options)
    : tensors_(std::move(tensors)), options_(options) {
  for (const Trained& t : tensors_) {
    m_.push_back(Tensor::Zeros(t.parameter.tensor.shape()));
    v_.push_back(Tensor::Zeros(t.parameter.tensor.shape()));
  }
}

double Optimizer::GradientNorm() const {
  std::vector<Tensor> gradients;
  for (const Trained& t : tensors_) {
    if (t.parameter.tensor.grad()) gradients.push_back(t.parameter.tensor.grad());
  }
  return std::sqrt(Backend::For(Device::kCpu).SumSquares(gradients));
}

void Optimizer::Step(double lr, double gradient_scale) {
  std::vector<AdamWItem> items;
  for (size_t i = 0; i < m_.size(); ++i) {
    const Parameter& p = tensors_[i].parameter;
    if (!p.tensor.grad()) continue;
    const double decay = Decays(p) ? options_.weight_decay : 0;
    items.push_back({p.tensor, tensors_[i].master, p.tensor.grad(), m_[i], v_[i],
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
  for (const Trained& t : tensors_) t.parameter.tensor.ClearGrad();
}

std::vector<NamedTensor> Optimizer::Moments() const {
  std::vector<NamedTensor> moments;
  for (size_t i = 0; i < m_.size(); ++i) {
    moments.push_back({"m." + tensors_[i].parameter.name, m_[i]});
    moments.push_back({"v." + tensors_[i].parameter.name, v_[i]});
  }
  return moments;
}

void Optimizer::Restore(const Checkpoint& checkpoint, int64_t updates) {
  const std::vector<NamedTensor> moments = Moments();
  for (size_t i = 0; i < moments.size(); ++i) {
    const NamedTensor& moment = moments[i];
    const Trained& owner = tensors_[i / 2];
    const Checkpoint::Entry* entry = checkpoint.Find(moment.name);
    const std::string file = checkpoint.path().string();
    Check(entry != nullptr, "{}: the tensor {} is missing", file, moment.name);
    Check(entry->shape == owner.whole && entry->dtype == DType::kF32, "{}: {} must be {} f32 but is {} {}",
          file, moment.name, owner.whole, entry->shape, Traits(entry->dtype).name);
    const Tensor saved = Elements(checkpoint.Load(moment.name), owner.begin, moment.tensor.size());
    std::memcpy(moment.tensor.raw(), saved.raw(), saved.bytes());
  }
  updates_ = updates;
}

}  // namespace linnet
