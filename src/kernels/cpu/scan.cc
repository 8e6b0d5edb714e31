// The diagonal scan, forward and backward: h_t = a_t h_{t-1} + b_t, channel by channel.
//
// A row of h is made of the row before, which has just been written and is still in the first cache: so all
// that moves is one stream of each tensor, from its first row to its last, as in a copy. Backward, with the
// gradient g_t of h_t through everything later and p* the complex conjugate:
//
//     g_t = dh_t + a*_{t+1} g_{t+1}      db_t = g_t      da_t = g_t h*_{t-1}
//
// Channels and sequences are independent of each other and are shared out among the threads.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/scan.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_SCAN_ONCE
#define LINNET_KERNELS_CPU_SCAN_ONCE
namespace linnet {

/// n channels of one sequence; all pointers are at their first channel and the sequence's first row.
struct ScanPart {
  const float *a, *b;
  size_t a_step;            // from a row of a to the next: `width`, or 0 if they are all the same
  size_t width, n, length;  // width: from a row of the others to the next
  size_t imaginary;         // from the real part of a channel to its imaginary part
  const float* state_in;
  float *state_out, *h;  // state_out: only forward
};

struct ScanPartGradients {
  const float* dh;
  float *da, *db;  // da: += if a_step is 0
  float* g;        // one row: dstate_out at first, dstate_in at last
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// h = a p + b, or a p + (1 - a) b.
template <ScanKind kKind, class Io>
HWY_INLINE void ScanLane(Io io, const float* a, const float* b, const float* p, size_t imaginary, float* h) {
  if constexpr (kKind == ScanKind::kComplex) {
    StoreComplex(
        io,
        MulAdd(LoadComplex(io, a, imaginary), LoadComplex(io, p, imaginary), LoadComplex(io, b, imaginary)),
        h, imaginary);
  } else if constexpr (kKind == ScanKind::kAverage) {
    const Vec x = io.Load(b);
    io.Store(hn::MulAdd(io.Load(a), hn::Sub(io.Load(p), x), x), h);
  } else {
    io.Store(hn::MulAdd(io.Load(a), io.Load(p), io.Load(b)), h);
  }
}

template <ScanKind kKind>
void ScanForwardPart(const ScanPart& part) {
  const float* p = part.state_in;
  for (size_t t = 0; t < part.length; ++t) {
    const float *a = part.a + t * part.a_step, *b = part.b + t * part.width;
    float* h = part.h + t * part.width;
    ForLanes(part.n, [&](auto io, size_t i)
                         HWY_ATTR { ScanLane<kKind>(io, a + i, b + i, p + i, part.imaginary, h + i); });
    p = h;
  }
  std::memcpy(part.state_out, p, part.n * sizeof(float));
  if (kKind == ScanKind::kComplex) {
    std::memcpy(part.state_out + part.imaginary, p + part.imaginary, part.n * sizeof(float));
  }
}

/// One step back: pointers at a lane of its row; p is the row of h before, g the carried gradient.
template <ScanKind kKind, bool kSum, class Io>
HWY_INLINE void ScanLaneBackward(Io io, const float* a, const float* b, const float* p, const float* dh,
                                 size_t imaginary, float* da, float* db, float* g) {
  if constexpr (kKind == ScanKind::kComplex) {
    const Complex arrived = LoadComplex(io, dh, imaginary), carried = LoadComplex(io, g, imaginary);
    const Complex sum{hn::Add(arrived.re, carried.re), hn::Add(arrived.im, carried.im)};
    const Vec none = hn::Zero(F32());
    const Complex so_far = kSum ? LoadComplex(io, da, imaginary) : Complex{none, none};
    StoreComplex(io, MulAdd(sum, Conjugate(LoadComplex(io, p, imaginary)), so_far), da, imaginary);
    StoreComplex(io, sum, db, imaginary);
    StoreComplex(io, MulAdd(Conjugate(LoadComplex(io, a, imaginary)), sum, {none, none}), g, imaginary);
    return;
  }
  const Vec sum = hn::Add(io.Load(dh), io.Load(g)), through = hn::Mul(io.Load(a), sum);
  const bool average = kKind == ScanKind::kAverage;
  const Vec slope = average ? hn::Sub(io.Load(p), io.Load(b)) : io.Load(p);
  io.Store(kSum ? hn::MulAdd(sum, slope, io.Load(da)) : hn::Mul(sum, slope), da);
  io.Store(average ? hn::Sub(sum, through) : sum, db);
  io.Store(through, g);
}

template <ScanKind kKind, bool kSum>
void ScanBackwardPart(const ScanPart& part, const ScanPartGradients& d) {
  for (size_t t = part.length; t-- > 0;) {
    const size_t row = t * part.width;
    const float *a = part.a + t * part.a_step, *p = t == 0 ? part.state_in : part.h + row - part.width;
    float* da = d.da + t * part.a_step;
    ForLanes(part.n, [&](auto io, size_t i) HWY_ATTR {
      ScanLaneBackward<kKind, kSum>(io, a + i, part.b + row + i, p + i, d.dh + row + i, part.imaginary,
                                    da + i, d.db + row + i, d.g + i);
    });
  }
}

void ScanForward(const ScanPart& part, ScanKind kind) {
  switch (kind) {
    case ScanKind::kSum:
      return ScanForwardPart<ScanKind::kSum>(part);
    case ScanKind::kAverage:
      return ScanForwardPart<ScanKind::kAverage>(part);
    case ScanKind::kComplex:
      return ScanForwardPart<ScanKind::kComplex>(part);
  }
}

template <ScanKind kKind>
void ScanBackwardOf(const ScanPart& part, const ScanPartGradients& d) {
  part.a_step == 0 ? ScanBackwardPart<kKind, true>(part, d) : ScanBackwardPart<kKind, false>(part, d);
}

void ScanBackward(const ScanPart& part, ScanKind kind, const ScanPartGradients& d) {
  switch (kind) {
    case ScanKind::kSum:
      return ScanBackwardOf<ScanKind::kSum>(part, d);
    case ScanKind::kAverage:
      return ScanBackwardOf<ScanKind::kAverage>(part, d);
    case ScanKind::kComplex:
      return ScanBackwardOf<ScanKind::kComplex>(part, d);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(ScanForward);
HWY_EXPORT(ScanBackward);

namespace {

/// Calls body(part, row * C + channel, s, slot, channel) for ranges of channels that cover every sequence.
template <class Body>
void ForParts(const ScanInputs& in, ScanKind kind, const Sequences& sequences, const Tensor& state_in,
              const Tensor& h, const Body& body) {
  const int64_t width = in.b.dim(1), numbers = kind == ScanKind::kComplex ? width / 2 : width;
  constexpr int64_t kUnit = 64;  // channels; four cache lines
  const int64_t units = (numbers + kUnit - 1) / kUnit, rows = in.b.dim(0), count = sequences.sequences();
  const bool of_rows = in.a.size() != width;
  const int64_t elements = std::max<int64_t>(1, rows * width / (count * units));
  ParallelFor(count * units, kGrainElements / elements, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin / units; s * units < end; ++s) {
      const int64_t channel = std::max(begin - s * units, int64_t{0}) * kUnit;
      const int64_t last = std::min(std::min(end - s * units, units) * kUnit, numbers);
      const int64_t at = sequences.start[s] * width + channel, slot = sequences.slot[s];
      body(ScanPart{in.a.data() + (of_rows ? at : channel), in.b.data() + at,
                    static_cast<size_t>(of_rows ? width : 0), static_cast<size_t>(width),
                    static_cast<size_t>(last - channel), static_cast<size_t>(sequences.length(s)),
                    static_cast<size_t>(numbers), state_in.data() + slot * width + channel, nullptr,
                    h.data() + at},
           at, s, slot, channel);
    }
  });
}

}  // namespace

void CpuBackend::Scan(const ScanInputs& in, ScanKind kind, const Sequences& sequences, const StateRef& state,
                      const Tensor& h) {
  const int64_t width = in.b.dim(1);
  ForParts(in, kind, sequences, state.in, h,
           [&](ScanPart part, int64_t, int64_t, int64_t slot, int64_t channel) {
             part.state_out = state.out.data() + slot * width + channel;
             HWY_DYNAMIC_DISPATCH(ScanForward)(part, kind);
           });
}

void CpuBackend::ScanBackward(const ScanInputs& in, ScanKind kind, const Sequences& sequences,
                              const Tensor& state_in, const Tensor& h, const Tensor& dh,
                              const Tensor& dstate_out, const ScanInputs& d, const Tensor& dstate_in) {
  const int64_t width = in.b.dim(1), count = sequences.sequences();
  const bool of_rows = in.a.size() != width;
  if (!of_rows) std::fill_n(d.a.data(), d.a.size(), 0.0f);
  const Tensor carried = Tensor::Zeros({count, width});
  for (int64_t s = 0; s < count && dstate_out; ++s) {
    std::copy_n(dstate_out.data() + sequences.slot[s] * width, width, carried.data() + s * width);
  }
  ForParts(in, kind, sequences, state_in, h,
           [&](const ScanPart& part, int64_t at, int64_t s, int64_t, int64_t channel) {
             const int64_t of_sequence = s * width + channel;
             HWY_DYNAMIC_DISPATCH(ScanBackward)
             (part, kind,
              {dh.data() + at, d.a.data() + (of_rows ? at : of_sequence), d.b.data() + at,
               carried.data() + of_sequence});
           });
  for (int64_t s = 0; s < count && dstate_in; ++s) {
    float* sum = dstate_in.data() + sequences.slot[s] * width;
    for (int64_t c = 0; c < width; ++c) sum[c] += carried.data()[s * width + c];
  }
}

}  // namespace linnet
#endif  // HWY_ONCE
