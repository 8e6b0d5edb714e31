// Softmax cross entropy with its gradient in place, and the sums that watch over training.
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/loss.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

float MaxOfRow(const float* x, size_t n) {
  Vec best = hn::Set(F32(), x[0]);
  const size_t lanes = Lanes(), whole = n / lanes * lanes;
  for (size_t i = 0; i < whole; i += lanes) best = hn::Max(best, hn::LoadU(F32(), x + i));
  float result = hn::GetLane(hn::MaxOfLanes(F32(), best));
  for (size_t i = whole; i < n; ++i) result = std::max(result, x[i]);
  return result;
}

/// Sum of exp(x - max), in double over blocks: a float sum of 65,536 terms would cost three digits.
double SumOfExp(const float* x, size_t n, float max) {
  constexpr size_t kBlock = 1024;
  const Vec shift = hn::Set(F32(), max);
  double total = 0;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    Vec sum = hn::Zero(F32());
    ForLanes(std::min(kBlock, n - begin), [&](auto io, size_t i) HWY_ATTR {
      const Vec v = io.Load(x + begin + i);
      // v - v is 0, or not a number where v is none: exp alone would swallow it.
      sum = hn::Add(sum, io.ZeroRest(hn::Add(hn::Exp(F32(), hn::Sub(v, shift)), hn::Sub(v, v))));
    });
    total += Sum(sum);
  }
  return total;
}

/// x = factor * exp(x - max)
void ScaledExp(float* x, size_t n, float max, float factor) {
  const Vec shift = hn::Set(F32(), max), f = hn::Set(F32(), factor);
  ForLanes(n, [&](auto io, size_t i)
                  HWY_ATTR { io.Store(hn::Mul(f, hn::Exp(F32(), hn::Sub(io.Load(x + i), shift))), x + i); });
}

double SumSquaresLoop(const float* x, size_t n) {
  constexpr size_t kBlock = 4096;
  double total = 0;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    Vec sum = hn::Zero(F32());
    ForLanes(std::min(kBlock, n - begin), [&](auto io, size_t i) HWY_ATTR {
      const Vec v = io.Load(x + begin + i);
      sum = hn::MulAdd(v, v, sum);
    });
    total += Sum(sum);
  }
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(MaxOfRow);
HWY_EXPORT(SumOfExp);
HWY_EXPORT(ScaledExp);
HWY_EXPORT(SumSquaresLoop);

double CpuBackend::SoftmaxLoss(const Tensor& logits, std::span<const int> targets, bool gradient, float scale,
                               float l2_wrap) {
  const int64_t vocab = logits.dim(1), rows = logits.dim(0);
  const int parts = Parts(rows, GrainRows(vocab));
  std::vector<double> losses(parts, 0.0);
  ParallelParts(rows, parts, [&](int part, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* x = logits.data() + i * vocab;
      if (targets[i] < 0) {
        if (gradient) std::memset(x, 0, vocab * sizeof(float));
        continue;
      }
      const float max = HWY_DYNAMIC_DISPATCH(MaxOfRow)(x, vocab);
      const double sum = HWY_DYNAMIC_DISPATCH(SumOfExp)(x, vocab, max);
      losses[part] += std::log(sum) + max - x[targets[i]];
      if (!gradient) continue;
      const int64_t first_max = std::find(x, x + vocab, max) - x;
      HWY_DYNAMIC_DISPATCH(ScaledExp)(x, vocab, max, static_cast<float>(scale / sum));
      x[targets[i]] -= scale;
      if (first_max < vocab) x[first_max] += l2_wrap * max;
    }
  });
  double total = 0;
  for (double loss : losses) total += loss;
  return total;
}

double CpuBackend::SumSquares(std::span<const Tensor> tensors) {
  double total = 0;
  for (const Tensor& t : tensors) {
    const int parts = Parts(t.size(), 8 * kGrainElements);
    std::vector<double> sums(parts, 0.0);
    ParallelParts(t.size(), parts, [&](int part, int64_t begin, int64_t end) {
      sums[part] = HWY_DYNAMIC_DISPATCH(SumSquaresLoop)(t.data() + begin, end - begin);
    });
    for (double sum : sums) total += sum;
  }
  return total;
}

}  // namespace linnet
#endif  // HWY_ONCE
