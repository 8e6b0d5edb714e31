// The normaliser of linear attention, head by head along time:
//
//   z_t = z_{t-1} + k_t      n_t = <q_t, z_t> + eps      y_t = x_t / n_t
//   dx = dy / n    dn = -<dy, y> / n    dq = dn z    dz <- dz + dn q    dk = dz
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/mass.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_MASS_ONCE
#define LINNET_KERNELS_CPU_MASS_ONCE
namespace linnet {

/// A head of one sequence; pointers are at its first channel of the sequence's first row, states at that of
/// its slot.
struct MassPart {
  const float *x, *q, *k;
  size_t width, n, length;
  float eps;
  const float* state_in;
  float *state_out, *y, *sums;  // sums may be null
};

struct MassPartGradients {
  const float *q, *y, *sums, *dy, *dstate_out;  // dstate_out may be null
  size_t width, n, length;
  float eps;
  float *dx, *dq, *dk, *dstate_in;  // dstate_in += ; or null
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void DivideByMassPart(const MassPart& p) {
  float* z = p.state_out;
  if (z != p.state_in) std::memcpy(z, p.state_in, p.n * sizeof(float));
  for (size_t t = 0; t < p.length; ++t) {
    const size_t row = t * p.width;
    Vec mass = hn::Zero(F32());
    ForLanes(p.n, [&](auto io, size_t i) HWY_ATTR {
      const Vec sum = hn::Add(io.Load(z + i), io.Load(p.k + row + i));
      mass = hn::MulAdd(sum, io.Load(p.q + row + i), mass);
      io.Store(sum, z + i);
      if (p.sums != nullptr) io.Store(sum, p.sums + row + i);
    });
    const Vec inverse = hn::Set(F32(), 1 / (Sum(mass) + p.eps));
    ForLanes(p.n, [&](auto io, size_t i)
                      HWY_ATTR { io.Store(hn::Mul(inverse, io.Load(p.x + row + i)), p.y + row + i); });
  }
}

/// `dz` holds n zeros.
void DivideByMassPartBackward(const MassPartGradients& p, float* dz) {
  if (p.dstate_out != nullptr) std::memcpy(dz, p.dstate_out, p.n * sizeof(float));
  for (size_t t = p.length; t-- > 0;) {
    const size_t row = t * p.width;
    Vec mass = hn::Zero(F32()), against = hn::Zero(F32());
    ForLanes(p.n, [&](auto io, size_t i) HWY_ATTR {
      mass = hn::MulAdd(io.Load(p.q + row + i), io.Load(p.sums + row + i), mass);
      against = hn::MulAdd(io.Load(p.dy + row + i), io.Load(p.y + row + i), against);
    });
    const float inverse = 1 / (Sum(mass) + p.eps);
    const Vec over = hn::Set(F32(), inverse), dn = hn::Set(F32(), -Sum(against) * inverse);
    ForLanes(p.n, [&](auto io, size_t i) HWY_ATTR {
      const Vec sum = hn::MulAdd(dn, io.Load(p.q + row + i), io.Load(dz + i));
      io.Store(hn::Mul(over, io.Load(p.dy + row + i)), p.dx + row + i);
      io.Store(hn::Mul(dn, io.Load(p.sums + row + i)), p.dq + row + i);
      io.Store(sum, dz + i);
      io.Store(sum, p.dk + row + i);
    });
  }
  if (p.dstate_in == nullptr) return;
  ForLanes(p.n, [&](auto io, size_t i) HWY_ATTR {
    io.Store(hn::Add(io.Load(dz + i), io.Load(p.dstate_in + i)), p.dstate_in + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(DivideByMassPart);
HWY_EXPORT(DivideByMassPartBackward);

namespace {

/// Calls body(sequence, first element of its rows, of its state) for each head of each sequence.
template <class Body>
void ForHeads(const Sequences& sequences, int heads, int64_t width, const Body& body) {
  const int64_t n = width / heads, all = static_cast<int64_t>(sequences.sequences()) * heads;
  const int64_t rows = std::max<int64_t>(1, sequences.start.back() / std::max(1, sequences.sequences()));
  ParallelFor(all, GrainRows(rows * n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int s = static_cast<int>(i / heads);
      const int64_t channel = i % heads * n;
      body(s, sequences.start[s] * width + channel, sequences.slot[s] * width + channel);
    }
  });
}

}  // namespace

void CpuBackend::DivideByMass(const Tensor& x, const Tensor& q, const Tensor& k, int heads, float eps,
                              const Sequences& sequences, const StateRef& state, const Tensor& y,
                              const Tensor& sums) {
  const int64_t width = x.dim(1);
  ForHeads(sequences, heads, width, [&](int s, int64_t at, int64_t state_at) {
    HWY_DYNAMIC_DISPATCH(DivideByMassPart)
    ({x.data() + at, q.data() + at, k.data() + at, static_cast<size_t>(width),
      static_cast<size_t>(width / heads), static_cast<size_t>(sequences.length(s)), eps,
      state.in.data() + state_at, state.out.data() + state_at, y.data() + at,
      sums ? sums.data() + at : nullptr});
  });
}

void CpuBackend::DivideByMassBackward(const Tensor& q, const Tensor& y, const Tensor& sums, int heads,
                                      float eps, const Sequences& sequences, const Tensor& dy,
                                      const Tensor& dstate_out, const Tensor& dx, const Tensor& dq,
                                      const Tensor& dk, const Tensor& dstate_in) {
  const int64_t width = q.dim(1);
  ForHeads(sequences, heads, width, [&](int s, int64_t at, int64_t state_at) {
    const Tensor dz = Tensor::Zeros({width / heads});
    HWY_DYNAMIC_DISPATCH(DivideByMassPartBackward)
    ({q.data() + at, y.data() + at, sums.data() + at, dy.data() + at,
      dstate_out ? dstate_out.data() + state_at : nullptr, static_cast<size_t>(width),
      static_cast<size_t>(width / heads), static_cast<size_t>(sequences.length(s)), eps, dx.data() + at,
      dq.data() + at, dk.data() + at, dstate_in ? dstate_in.data() + state_at : nullptr},
     dz.data());
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
