// Gates: y = x sigmoid(z), y = x z sigmoid(z), y = x z; and GELU.
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

struct OpenGate {
  Vec value, slope;
};

/// gate(z) and gate'(z): sigmoid' = s (1 - s), silu' = s + z s (1 - s).
HWY_INLINE OpenGate Open(GateKind kind, Vec z) {
  const Vec one = hn::Set(F32(), 1.0f);
  if (kind == GateKind::kPlain) return {z, one};
  const Vec sigmoid = Sigmoid(z), bend = hn::Mul(sigmoid, hn::Sub(one, sigmoid));
  if (kind == GateKind::kSigmoid) return {sigmoid, bend};
  return {hn::Mul(z, sigmoid), hn::MulAdd(z, bend, sigmoid)};
}

void GateLoop(const float* x, const float* z, GateKind kind, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i)
                  HWY_ATTR { io.Store(hn::Mul(io.Load(x + i), Open(kind, io.Load(z + i)).value), y + i); });
}

void GateBackwardLoop(const float* x, const float* z, GateKind kind, const float* dy, float* dx, float* dz,
                      size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const auto [value, slope] = Open(kind, io.Load(z + i));
    const Vec g = io.Load(dy + i);
    io.Store(hn::Mul(g, value), dx + i);
    io.Store(hn::Mul(hn::Mul(g, io.Load(x + i)), slope), dz + i);
  });
}

/// gelu(x) = x s with s = sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3)), which is its tanh form.
struct GeluParts {
  Vec s, inner_slope;
};

HWY_INLINE GeluParts GeluOf(Vec x) {
  const F32 d;
  const Vec scale = hn::Set(d, 1.5957691216f), square = hn::Mul(x, x);
  const Vec cubic = hn::Set(d, 0.044715f * 1.5957691216f);
  return {Sigmoid(hn::Mul(x, hn::MulAdd(cubic, square, scale))),
          hn::MulAdd(hn::Mul(hn::Set(d, 3.0f), cubic), square, scale)};
}

void GeluLoop(const float* x, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec v = io.Load(x + i);
    io.Store(hn::Mul(v, GeluOf(v).s), y + i);
  });
}

void GeluBackwardLoop(const float* x, const float* dy, float* dx, size_t n) {
  const Vec one = hn::Set(F32(), 1.0f);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec v = io.Load(x + i);
    const auto [s, inner_slope] = GeluOf(v);
    const Vec bend = hn::Mul(hn::Mul(v, hn::Mul(s, hn::Sub(one, s))), inner_slope);
    io.Store(hn::Mul(io.Load(dy + i), hn::Add(s, bend)), dx + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(GateLoop);
HWY_EXPORT(GateBackwardLoop);
HWY_EXPORT(GeluLoop);
HWY_EXPORT(GeluBackwardLoop);

void CpuBackend::Gate(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& y) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GateLoop)
    (x.data() + begin, z.data() + begin, kind, y.data() + begin, end - begin);
  });
}

void CpuBackend::GateBackward(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& dy,
                              const Tensor& dx, const Tensor& dz) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GateBackwardLoop)
    (x.data() + begin, z.data() + begin, kind, dy.data() + begin, dx.data() + begin, dz.data() + begin,
     end - begin);
  });
}

void CpuBackend::Gelu(const Tensor& x, const Tensor& y) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GeluLoop)(x.data() + begin, y.data() + begin, end - begin);
  });
}

void CpuBackend::GeluBackward(const Tensor& x, const Tensor& dy, const Tensor& dx) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(GeluBackwardLoop)
    (x.data() + begin, dy.data() + begin, dx.data() + begin, end - begin);
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
