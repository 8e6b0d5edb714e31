// AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) over all parameters in one
// pass.
#include <cmath>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adamw.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_ADAMW_ONCE
#define LINNET_KERNELS_CPU_ADAMW_ONCE
namespace linnet {

/// p -= step_size * m / (sqrt(v) / root_correction + eps) + decay * p, with the corrections of this step
/// folded in.
struct AdamWStep {
  float beta1, beta2, gradient_scale, eps, step_size, root_correction, decay;
};

struct AdamWRange {
  float* parameter;  // the float32 one
  Bf16* rounded;     // the copy that the model reads, or null
  const float* gradient;
  float *m, *v;
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void AdamWLoop(const AdamWRange& range, const AdamWStep& s, size_t n) {
  const F32 d;
  const Vec beta1 = hn::Set(d, s.beta1), beta2 = hn::Set(d, s.beta2), scale = hn::Set(d, s.gradient_scale);
  const Vec rest1 = hn::Set(d, 1 - s.beta1), rest2 = hn::Set(d, 1 - s.beta2);
  const Vec eps = hn::Set(d, s.eps), step = hn::Set(d, s.step_size), root = hn::Set(d, s.root_correction);
  const Vec keep = hn::Set(d, 1 - s.decay);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec g = hn::Mul(scale, io.Load(range.gradient + i));
    const Vec m = hn::MulAdd(beta1, io.Load(range.m + i), hn::Mul(rest1, g));
    const Vec v = hn::MulAdd(beta2, io.Load(range.v + i), hn::Mul(rest2, hn::Mul(g, g)));
    const Vec denominator = hn::MulAdd(hn::Sqrt(v), root, eps);
    // A gradient that was always zero leaves 0 / eps; with eps below float32's range that would be 0 / 0.
    const Vec update =
        hn::IfThenElseZero(hn::Gt(denominator, hn::Zero(d)), hn::Div(hn::Mul(step, m), denominator));
    const Vec p = hn::MulSub(keep, io.Load(range.parameter + i), update);
    io.Store(m, range.m + i);
    io.Store(v, range.v + i);
    io.Store(p, range.parameter + i);
    if (range.rounded != nullptr) io.Store(p, range.rounded + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(AdamWLoop);

void CpuBackend::AdamW(std::span<const AdamWItem> items, const AdamWOptions& options) {
  int64_t total = 0;
  for (const AdamWItem& item : items) total += item.gradient.size();
  const double correction1 = 1 - std::pow(double{options.beta1}, static_cast<double>(options.step));
  const double correction2 = 1 - std::pow(double{options.beta2}, static_cast<double>(options.step));
  const auto update = [&](const AdamWItem& item, int64_t begin, int64_t end) {
    const bool mixed = static_cast<bool>(item.master);
    HWY_DYNAMIC_DISPATCH(AdamWLoop)
    ({(mixed ? item.master : item.parameter).data() + begin,
      mixed ? item.parameter.data<Bf16>() + begin : nullptr, item.gradient.data() + begin,
      item.m.data() + begin, item.v.data() + begin},
     {options.beta1, options.beta2, options.gradient_scale, options.eps,
      static_cast<float>(item.lr / correction1), static_cast<float>(1 / std::sqrt(correction2)),
      item.lr * item.weight_decay},
     end - begin);
  };
  // All parameters end to end are one range that the threads share out evenly.
  ParallelFor(total, 8 * kGrainElements, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const AdamWItem& item : items) {
      const int64_t last = first + item.gradient.size();
      const int64_t from = std::max(begin, first), to = std::min(end, last);
      if (from < to) update(item, from - first, to - first);
      first = last;
    }
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
