#include "ops/adapters.h"

namespace linnet {
namespace {

thread_local const Adapters* in_force = nullptr;

}  // namespace

void Adapters::Add(const Tensor& weight, const Adapter& adapter) {
  const Shape &a = adapter.a.shape(), &b = adapter.b.shape(), &w = weight.shape();
  Check(w.rank() == 2 && a.rank() == 2 && b.rank() == 2 && a[0] == b[1] && a[1] == w[1] && b[0] == w[0],
        "[adapters] factors {} and {} do not fit the weight {}", a, b, w);
  Check(adapter.a.dtype() == DType::kF32 && adapter.b.dtype() == DType::kF32, "[adapters] factors are f32");
  Entry& entry = entries_[weight.raw()];
  entry.weight = weight;
  entry.adapters.push_back(adapter);
}

std::span<const Adapter> Adapters::Of(const Tensor& weight) const {
  const auto found = entries_.find(weight.raw());
  if (found == entries_.end()) return {};
  return found->second.adapters;
}

const Adapters* Adapters::InForce() { return in_force; }

void CheckNoAdapter(const char* op, const Tensor& weight) {
  const Adapters* adapters = Adapters::InForce();
  Check(adapters == nullptr || adapters->Of(weight).empty(),
        "[{}] the matrix of a step-by-step recurrence takes no LoRA; leave it out with --lora-targets", op);
}

AdaptersInForce::AdaptersInForce(const Adapters* adapters) : outer_(in_force) { in_force = adapters; }
AdaptersInForce::~AdaptersInForce() { in_force = outer_; }

}  // namespace linnet
