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
#include "kernels/cpu/feature_parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/state_space.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_STATE_SPACE_ONCE
#define LINNET_KERNELS_CPU_STATE_SPACE_ONCE
namespace linnet {

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
      if (part.snapshots != nullptr && t % kStateChunk == 0) {
        float* kept = part.snapshots + t / kStateChunk * 2 * planes + i;
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
  Vec re[kStateChunk + 1], im[kStateChunk + 1];
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
    for (size_t chunk = (part.length + kStateChunk - 1) / kStateChunk; chunk-- > 0;) {
      const size_t first = chunk * kStateChunk, rows = std::min(kStateChunk, part.length - first);
      Vec du[kStateChunk];
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

/// Calls body(part, its memory but for states and y) for ranges of features of every sequence.
template <class Body>
void ForParts(const StateSpaceInputs& in, const Sequences& sequences, const Tensor& snapshots,
              const Body& body) {
  const int64_t modes = in.a.dim(1), width = in.a.dim(2);
  ForFeatureParts(sequences, width, modes, [&](const FeaturePart& part) {
    const auto of = [&](const Tensor& t) { return t.data() + part.first; };
    body(part, StateSpacePart{of(in.u) + part.row * width, of(in.a), of(in.c), static_cast<size_t>(modes),
                              static_cast<size_t>(width), static_cast<size_t>(part.n),
                              static_cast<size_t>(sequences.length(part.sequence)), nullptr, nullptr, nullptr,
                              snapshots ? of(snapshots) + part.snapshot * in.a.size() : nullptr});
  });
}

}  // namespace

int CpuBackend::StateSpaceSnapshots(const Sequences& sequences) const { return StateChunks(sequences); }

void CpuBackend::StateSpace(const StateSpaceInputs& in, const Sequences& sequences, const StateRef& state,
                            const Tensor& y, const Tensor& snapshots) {
  ForParts(in, sequences, snapshots, [&](const FeaturePart& part, StateSpacePart memory) {
    const int64_t at = sequences.slot[part.sequence] * in.a.size() + part.first;
    memory.state_in = state.in.data() + at;
    memory.state_out = state.out.data() + at;
    memory.y = y.data() + part.row * in.u.dim(1) + part.first;
    HWY_DYNAMIC_DISPATCH(StateSpaceForward)(memory);
  });
}

void CpuBackend::StateSpaceBackward(const StateSpaceInputs& in, const Tensor& snapshots,
                                    const Sequences& sequences, const Tensor& dy, const Tensor& dstate_out,
                                    const StateSpaceInputs& d, const Tensor& dstate_in) {
  const int64_t state_size = in.a.size();
  const Tensor carried = LeftGradients(dstate_out, sequences, state_size);
  for (const Tensor& sum : {d.a, d.c}) std::fill_n(sum.data(), sum.size(), 0.0f);
  ForParts(in, sequences, snapshots, [&](const FeaturePart& part, const StateSpacePart& memory) {
    const auto of = [&](const Tensor& t, int64_t at) { return t.data() + at + part.first; };
    const int64_t row = part.row * in.u.dim(1), sums = part.sequence * state_size;
    HWY_DYNAMIC_DISPATCH(StateSpaceBackward)
    (memory, {of(dy, row), of(d.u, row), of(d.a, sums), of(d.c, sums), of(carried, sums)});
  });
  AddBegunGradients(carried, sequences, dstate_in);
}

}  // namespace linnet
#endif  // HWY_ONCE
