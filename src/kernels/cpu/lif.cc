// Spiking neurons. A leaky integrate-and-fire neuron runs along the rows, forward and backward; with its hard
// reset that is no scan, so rows come one after the other, channels and sequences beside each other. A step,
// the neuron without a memory, is of each element by itself.
//
// Backward through a step has the surrogate slope 1 / (1 + (pi u)^2) of arctan, where the true one is 0.
#include "kernels/cpu/channels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lif.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// 1 where u >= threshold, else 0.
HWY_INLINE Vec StepAt(Vec u, float threshold) {
  return hn::IfThenElseZero(hn::Ge(u, hn::Set(F32(), threshold)), hn::Set(F32(), 1.0f));
}

HWY_INLINE Vec SurrogateSlope(Vec u) {
  const Vec one = hn::Set(F32(), 1.0f), scaled = hn::Mul(u, hn::Set(F32(), 3.14159265f));
  return hn::Div(one, hn::MulAdd(scaled, scaled, one));
}

/// n channels of one row. v is the membrane before and after; u may be null.
void LifForwardRow(const float* x, size_t n, float* v, float* u, float* spikes) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec membrane = hn::Mul(hn::Add(io.Load(v + i), io.Load(x + i)), hn::Set(F32(), 0.5f));
    const Vec spike = StepAt(membrane, 1);
    if (u != nullptr) io.Store(membrane, u + i);
    io.Store(spike, spikes + i);
    io.Store(hn::NegMulAdd(membrane, spike, membrane), v + i);
  });
}

/// `carried` is dL/dv after the row, and becomes that before it.
void LifBackwardRow(const float* u, const float* dspikes, size_t n, float* carried, float* dx) {
  const Vec one = hn::Set(F32(), 1.0f);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec membrane = io.Load(u + i), dv = io.Load(carried + i);
    const Vec spike = StepAt(membrane, 1), slope = SurrogateSlope(hn::Sub(membrane, one));
    // v = u - u s: the reset is differentiated, too.
    const Vec dspike = hn::NegMulAdd(dv, membrane, io.Load(dspikes + i));
    const Vec du = hn::MulAdd(dspike, slope, hn::NegMulAdd(dv, spike, dv));
    const Vec half = hn::Mul(du, hn::Set(F32(), 0.5f));
    io.Store(half, dx + i);
    io.Store(half, carried + i);
  });
}

void StepForward(const float* x, size_t n, float* y) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(StepAt(io.Load(x + i), 0), y + i); });
}

void StepBackward(const float* x, const float* dy, size_t n, float* dx) {
  ForLanes(n, [&](auto io, size_t i)
                  HWY_ATTR { io.Store(hn::Mul(io.Load(dy + i), SurrogateSlope(io.Load(x + i))), dx + i); });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(LifForwardRow);
HWY_EXPORT(LifBackwardRow);
HWY_EXPORT(StepForward);
HWY_EXPORT(StepBackward);

namespace {

constexpr int64_t kLifCost = 2;

}  // namespace

void CpuBackend::Lif(const Tensor& x, const Sequences& sequences, const StateRef& state, const Tensor& u,
                     const Tensor& spikes) {
  const int64_t width = x.dim(1);
  ForChannels(sequences, x.dim(0), width, kLifCost, [&](int64_t s, int64_t first, int64_t n) {
    const int64_t slot_at = sequences.slot[s] * width + first;
    float* v = state.out.data() + slot_at;
    if (v != state.in.data() + slot_at) std::copy_n(state.in.data() + slot_at, n, v);
    for (int64_t t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      const int64_t at = t * width + first;
      HWY_DYNAMIC_DISPATCH(LifForwardRow)
      (x.data() + at, static_cast<size_t>(n), v, u ? u.data() + at : nullptr, spikes.data() + at);
    }
  });
}

void CpuBackend::LifBackward(const Tensor& u, const Sequences& sequences, const Tensor& dspikes,
                             const Tensor& dstate_out, const Tensor& dx, const Tensor& dstate_in) {
  const int64_t width = u.dim(1);
  const Tensor carried = Tensor::Zeros({sequences.sequences(), width});
  ForChannels(sequences, u.dim(0), width, kLifCost, [&](int64_t s, int64_t first, int64_t n) {
    const int64_t slot_at = sequences.slot[s] * width + first;
    float* dv = carried.data() + s * width + first;
    if (dstate_out) std::copy_n(dstate_out.data() + slot_at, n, dv);
    for (int64_t t = sequences.start[s + 1]; t-- > sequences.start[s];) {
      const int64_t at = t * width + first;
      HWY_DYNAMIC_DISPATCH(LifBackwardRow)
      (u.data() + at, dspikes.data() + at, static_cast<size_t>(n), dv, dx.data() + at);
    }
    for (int64_t i = 0; i < n && dstate_in; ++i) dstate_in.data()[slot_at + i] += dv[i];
  });
}

void CpuBackend::Step(const Tensor& x, const Tensor& y) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(StepForward)(x.data() + begin, static_cast<size_t>(end - begin), y.data() + begin);
  });
}

void CpuBackend::StepBackward(const Tensor& x, const Tensor& dy, const Tensor& dx) {
  ParallelFor(x.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(StepBackward)
    (x.data() + begin, dy.data() + begin, static_cast<size_t>(end - begin), dx.data() + begin);
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
