#include "train/speed.h"

#include <algorithm>
#include <chrono>

#include "kernels/backend.h"
#include "nn/table.h"

namespace linnet {

double TrainingFlopsPerToken(const TrainableModel& weights) {
  const LoadedModel& model = weights.model;
  double flops = 3 * model.architecture->recurrence_flops(model.sizes);
  const auto count = [&](double each, const Tensor& t) { flops += each * static_cast<double>(t.size()); };
  for (const Parameter& p : model.params->parameters()) {
    if (!IsTable(p)) count(p.tensor.tracked() ? 6 : 4, p.tensor);
  }
  if (!weights.beside_model()) return flops;
  for (const Parameter& p : weights.parameters()) {
    if (p.role == Role::kLowRank) count(6, p.tensor);  // of an adapter
  }
  for (const auto& [name, fixed] : weights.beginnings) count(4, fixed);
  return flops;
}

double MeasureMatMulPeak(DType type) {
  using Clock = std::chrono::steady_clock;
  constexpr Dim kSize = 2048;
  constexpr double kBudget = 0.25;  // seconds; one product more may follow
  const Tensor a = Tensor::Zeros({kSize, kSize}, type), b = Tensor::Zeros({kSize, kSize}, type);
  const Tensor c = Tensor::Empty({kSize, kSize});
  Backend& backend = Backend::For(Device::kCpu);
  double best = 1e30, total = 0;
  while (total < kBudget) {
    const auto start = Clock::now();
    backend.MatMul(a, false, b, true, c, false);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return 2.0 * kSize * kSize * kSize / best;
}

}  // namespace linnet
