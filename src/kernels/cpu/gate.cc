// Gates: y = x sigmoid(z), y = x z sigmoid(z).
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gate.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void GateLoop(const float* x, const float* z, bool silu, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec logit = io.Load(z + i), sigmoid = Sigmoid(logit);
    io.Store(hn::Mul(io.Load(x + i), silu ? hn::Mul(logit, sigmoid) : sigmoid), y + i);
  });
}

/// sigmoid' = s (1 - s);  silu' = s + z s (1 - s)
void GateBackwardLoop(const float* x, const float* z, bool silu, const float* dy, float* dx, float* dz,
                      size_t n) {
  const Vec one = hn::Set(F32(), 1.0f);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec logit = io.Load(z + i), sigmoid = Sigmoid(logit), g = io.Load(dy + i);
    const Vec bend = hn::Mul(sigmoid, hn::Sub(one, sigmoid));
    const Vec slope = silu ? hn::MulAdd(logit, bend, sigmoid) : bend;
    io.Store(hn::Mul(g, silu ? hn::Mul(logit, sigmoid) : sigmoid), dx + i);
    io.Store(hn::Mul(hn::Mul(g, io.Load(x + i)), slope), dz + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(GateLoop);
HWY_EXPORT(GateBackwardLoop);

void CpuBackend::Gate(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& y) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GateLoop)
    (x.data() + begin, z.data() + begin, kind == GateKind::kSilu, y.data() + begin, end - begin);
  });
}

void CpuBackend::GateBackward(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& dy,
                              const Tensor& dx, const Tensor& dz) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GateBackwardLoop)
    (x.data() + begin, z.data() + begin, kind == GateKind::kSilu, dy.data() + begin, dx.data() + begin,
     dz.data() + begin, end - begin);
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
