// A diagonal state space per feature (S4D), forward and backward. Feature h has M complex modes:
//
//     x_t[m] = a[m] x_{t-1}[m] + u_t      y_t = 2 Re sum_m c[m] x_t[m]
//
// Neighbouring features lie in the lanes of a vector, so that nothing is summed across lanes, and their modes
// never leave the first cache: memory sees u and y alone, M times less than a scan over all modes would.
// Backward, with p* the conjugate and g_t[m] the gradient of x_t[m]:
//
//     g_t = 2 c* dy_t + a* g_{t+1}    du_t = Re sum_m g_t    dc += 2 dy_t x*_t    da += g_t x*_{t-1}
//
// The states are kept at the borders of chunks; within one, mode by mode, they are computed again.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/state_space.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_STATE_SPACE_ONCE
#define LINNET_KERNELS_CPU_STATE_SPACE_ONCE
namespace linnet {

inline constexpr size_t kStateSpaceChunk = 32;

/// n features of one sequence. What has modes is [2, M, H]: real parts, then imaginary ones.
struct StateSpacePart {
  const float *u, *a, *c;
  size_t modes, width, n, length;
  const float* state_in;
  float *state_out, *y;
  float* snapshots;  // a state a chunk; null unless a backward pass is to come
};

struct StateSpacePartGradients {
  const float* dy;
  float *du, *da, *dc;  // da, dc: of this sequence, +=
  float* g;             // [2, M, H]: the gradient of the last state at first, of the first at last
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void StateSpaceForward(const StateSpacePart& part) {
  const size_t planes = part.modes * part.width;
  float* x = part.state_out;
  if (x != part.state_in) {
    for (size_t row = 0; row < 2 * part.modes; ++row) {
      std::memcpy(x + row * part.width, part.state_in + row * part.width, part.n * sizeof(float));
    }
  }
  ForLanes(part.n, [&](auto io, size_t i) HWY_ATTR {
    for (size_t t = 0; t < part.length; ++t) {
      if (part.snapshots != nullptr && t % kStateSpaceChunk == 0) {
        float* kept = part.snapshots + t / kStateSpaceChunk * 2 * planes + i;
        for (size_t at = 0; at < 2 * planes; at += part.width) io.Store(io.Load(x + i + at), kept + at);
      }
      const Vec u = io.Load(part.u + t * part.width + i);
      Vec sum = hn::Zero(F32());
      for (size_t at = i; at < planes; at += part.width) {
        const Vec re = io.Load(x + at), im = io.Load(x + planes + at);
        const Vec a_re = io.Load(part.a + at), a_im = io.Load(part.a + planes + at);
        const Vec new_re = hn::NegMulAdd(a_im, im, hn::MulAdd(a_re, re, u));
        const Vec new_im = hn::MulAdd(a_im, re, hn::Mul(a_re, im));
        io.Store(new_re, x + at);
        io.Store(new_im, x + planes + at);
        sum = hn::MulAdd(io.Load(part.c + at), new_re, sum);
        sum = hn::NegMulAdd(io.Load(part.c + planes + at), new_im, sum);
      }
      io.Store(hn::Add(sum, sum), part.y + t * part.width + i);
    }
  });
}

/// Complex numbers of a chunk, of one mode.
struct ChunkOfMode {
  Vec re[kStateSpaceChunk + 1], im[kStateSpaceChunk + 1];
};

/// One mode through one chunk of `rows` rows from `first`, back; adds to du.
template <class Io>
HWY_INLINE void ModeBackward(Io io, const StateSpacePart& part, const StateSpacePartGradients& d, size_t at,
                             size_t i, const float* snapshot, size_t first, size_t rows, Vec* du) {
  const size_t planes = part.modes * part.width;
  const Vec a_re = io.Load(part.a + at), a_im = io.Load(part.a + planes + at);
  const Vec c_re = io.Load(part.c + at), c_im = io.Load(part.c + planes + at);
  ChunkOfMode x;
  x.re[0] = io.Load(snapshot + at), x.im[0] = io.Load(snapshot + planes + at);
  for (size_t t = 0; t < rows; ++t) {
    const Vec u = io.Load(part.u + (first + t) * part.width + i);
    x.re[t + 1] = hn::NegMulAdd(a_im, x.im[t], hn::MulAdd(a_re, x.re[t], u));
    x.im[t + 1] = hn::MulAdd(a_im, x.re[t], hn::Mul(a_re, x.im[t]));
  }
  Vec g_re = io.Load(d.g + at), g_im = io.Load(d.g + planes + at);
  Vec da_re = io.Load(d.da + at), da_im = io.Load(d.da + planes + at);
  Vec dc_re = io.Load(d.dc + at), dc_im = io.Load(d.dc + planes + at);
  for (size_t t = rows; t-- > 0;) {
    const Vec dy = io.Load(d.dy + (first + t) * part.width + i), twice = hn::Add(dy, dy);
    dc_re = hn::MulAdd(twice, x.re[t + 1], dc_re);
    dc_im = hn::NegMulAdd(twice, x.im[t + 1], dc_im);
    g_re = hn::MulAdd(c_re, twice, g_re);
    g_im = hn::NegMulAdd(c_im, twice, g_im);
    du[t] = hn::Add(du[t], g_re);
    da_re = hn::MulAdd(g_re, x.re[t], hn::MulAdd(g_im, x.im[t], da_re));
    da_im = hn::MulAdd(g_im, x.re[t], hn::NegMulAdd(g_re, x.im[t], da_im));
    const Vec through_re = hn::MulAdd(a_re, g_re, hn::Mul(a_im, g_im));
    g_im = hn::NegMulAdd(a_im, g_re, hn::Mul(a_re, g_im));
    g_re = through_re;
  }
  io.Store(g_re, d.g + at), io.Store(g_im, d.g + planes + at);
  io.Store(da_re, d.da + at), io.Store(da_im, d.da + planes + at);
  io.Store(dc_re, d.dc + at), io.Store(dc_im, d.dc + planes + at);
}

void StateSpaceBackward(const StateSpacePart& part, const StateSpacePartGradients& d) {
  const size_t planes = part.modes * part.width;
  ForLanes(part.n, [&](auto io, size_t i) HWY_ATTR {
    for (size_t chunk = (part.length + kStateSpaceChunk - 1) / kStateSpaceChunk; chunk-- > 0;) {
      const size_t first = chunk * kStateSpaceChunk, rows = std::min(kStateSpaceChunk, part.length - first);
      Vec du[kStateSpaceChunk];
      for (Vec& v : du) v = hn::Zero(F32());
      for (size_t at = i; at < planes; at += part.width) {
        ModeBackward(io, part, d, at, i, part.snapshots + chunk * 2 * planes, first, rows, du);
      }
      for (size_t t = 0; t < rows; ++t) io.Store(du[t], d.du + (first + t) * part.width + i);
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(StateSpaceForward);
HWY_EXPORT(StateSpaceBackward);

namespace {

int64_t Chunks(int64_t length) {
  constexpr auto kRows = static_cast<int64_t>(kStateSpaceChunk);
  return (length + kRows - 1) / kRows;
}

/// Calls body(part, row * H + feature, s, slot, feature) for ranges of features of every sequence.
template <class Body>
void ForParts(const StateSpaceInputs& in, const Sequences& sequences, const Tensor& snapshots,
              const Body& body) {
  const int64_t width = in.u.dim(1), modes = in.a.dim(1), state_size = 2 * modes * width;
  constexpr int64_t kUnit = 16;  // features: one cache line
  const int64_t units = (width + kUnit - 1) / kUnit;
  const int64_t cost = in.u.dim(0) * kUnit * modes;  // a mode of a feature's step is some six sums
  ParallelFor(
      units, std::max<int64_t>(1, kGrainElements / std::max<int64_t>(1, cost)),
      [&](int64_t begin, int64_t end) {
        const int64_t feature = begin * kUnit, n = std::min(end * kUnit, width) - feature;
        int64_t chunks = 0;
        for (int s = 0; s < sequences.sequences(); ++s) {
          const int64_t at = sequences.start[s] * width + feature, slot = sequences.slot[s];
          body(StateSpacePart{in.u.data() + at, in.a.data() + feature, in.c.data() + feature,
                              static_cast<size_t>(modes), static_cast<size_t>(width), static_cast<size_t>(n),
                              static_cast<size_t>(sequences.length(s)), nullptr, nullptr, nullptr,
                              snapshots ? snapshots.data() + chunks * state_size + feature : nullptr},
               at, s, slot, feature);
          chunks += Chunks(sequences.length(s));
        }
      });
}

}  // namespace

int CpuBackend::StateSpaceSnapshots(const Sequences& sequences) const {
  int64_t count = 0;
  for (int s = 0; s < sequences.sequences(); ++s) count += Chunks(sequences.length(s));
  return static_cast<int>(count);
}

void CpuBackend::StateSpace(const StateSpaceInputs& in, const Sequences& sequences, const StateRef& state,
                            const Tensor& y, const Tensor& snapshots) {
  const int64_t state_size = in.a.size();
  ForParts(in, sequences, snapshots,
           [&](StateSpacePart part, int64_t at, int64_t, int64_t slot, int64_t feature) {
             part.state_in = state.in.data() + slot * state_size + feature;
             part.state_out = state.out.data() + slot * state_size + feature;
             part.y = y.data() + at;
             HWY_DYNAMIC_DISPATCH(StateSpaceForward)(part);
           });
}

void CpuBackend::StateSpaceBackward(const StateSpaceInputs& in, const Tensor& snapshots,
                                    const Sequences& sequences, const Tensor& dy, const Tensor& dstate_out,
                                    const StateSpaceInputs& d, const Tensor& dstate_in) {
  const int64_t state_size = in.a.size(), count = sequences.sequences();
  const Tensor carried = Tensor::Zeros({count, state_size});
  for (int64_t s = 0; s < count && dstate_out; ++s) {
    std::copy_n(dstate_out.data() + sequences.slot[s] * state_size, state_size,
                carried.data() + s * state_size);
  }
  for (const Tensor& sum : {d.a, d.c}) std::fill_n(sum.data(), sum.size(), 0.0f);
  ForParts(in, sequences, snapshots,
           [&](const StateSpacePart& part, int64_t at, int64_t s, int64_t, int64_t feature) {
             const int64_t of_sequence = s * state_size + feature;
             HWY_DYNAMIC_DISPATCH(StateSpaceBackward)
             (part, {dy.data() + at, d.u.data() + at, d.a.data() + of_sequence, d.c.data() + of_sequence,
                     carried.data() + of_sequence});
           });
  for (int64_t s = 0; s < count && dstate_in; ++s) {
    float* sum = dstate_in.data() + sequences.slot[s] * state_size;
    for (int64_t i = 0; i < state_size; ++i) sum[i] += carried.data()[s * state_size + i];
  }
}

}  // namespace linnet
#endif  // HWY_ONCE
