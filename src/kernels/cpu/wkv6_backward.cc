// The WKV-6 recurrence, backward, in chunks from the last to the first. wkv6_chunk.h has the forward
// formulas; reversing them, with dX for dL/dX and T the lower triangle with its diagonal:
//
//     dA  = T(dY V^T)                      dV  = A^T dY + K~ dS_16
//     dR~ = dY S_0^T                       dK~ = V dS_16^T
//     dS_0 = diag(d_1 ... d_16) dS_16 + R~^T dY
//
// Each decay is a factor in many products. Their gradients are gathered from three sums along the chunk: one
// from the end to the beginning for R~ and the old state, one from the beginning to the end for K~, and both
// ways for each key of A. Nothing is divided and nothing cancels, so small decays get the small gradients
// that they have.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv6_backward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/wkv6_chunk.h"

#ifndef LINNET_KERNELS_CPU_WKV6_BACKWARD_ONCE
#define LINNET_KERNELS_CPU_WKV6_BACKWARD_ONCE
namespace linnet {

/// The gradients of one head of one sequence.
struct Wkv6Gradients {
  const float* dy;
  const float* snapshots;
  size_t snapshot_stride;
  const float* dstate_out;   // [n key, n value] or null
  float *r, *k, *v, *w, *u;  // w: rows of stride w_stride, or one row for a constant decay; u: one row
  float* dstate_in;          // += ; or null
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// Working memory beyond that of the forward pass.
struct Wkv6BackwardTiles {
  float *dy, *dv, *dr_scaled, *dk_scaled;  // [16, np]
  float *state_t, *dstate, *dstate_t;      // [np, np]; _t is [value, key]
  float* v_t;                              // [np, 16]
  float *dwhole, *sum_du, *sum_dd;         // [np]: of d_1 ... d_16; sums over the chunks so far
  float* dproduct;                         // [16, 16]: dA

  static size_t Floats(size_t np) { return (5 * kWkvChunk + 3 * np + 3) * np + kWkvChunk * kWkvChunk; }
  Wkv6BackwardTiles(Scratch& scratch, size_t np) {
    for (float** tile : {&dy, &dv, &dr_scaled, &dk_scaled, &v_t}) *tile = scratch.Take(kWkvChunk * np);
    for (float** square : {&state_t, &dstate, &dstate_t}) *square = scratch.Take(np * np);
    for (float** vector : {&dwhole, &sum_du, &sum_dd}) *vector = scratch.Take(np);
    dproduct = scratch.Take(kWkvChunk * kWkvChunk);
    std::memset(dy, 0, Floats(np) * sizeof(float));
  }
};

/// From the chunk's inputs and dY to dA, dV, dR~, dK~, the gradient of d_1 ... d_16 and dS_0.
HWY_INLINE void BackwardProducts(const Wkv6Tiles& c, const Wkv6BackwardTiles& t, size_t np) {
  constexpr size_t kC = kWkvChunk;
  Transpose(t.dstate, np, np, t.dstate_t);
  Transpose(c.v, kC, np, t.v_t);
  SmallMatMul(kC, kC, np, {t.dy, np, 1}, t.v_t, kC, t.dproduct, kC);
  SmallMatMul(kC, np, np, {c.k_scaled, np, 1}, t.dstate, np, t.dv, np);
  SmallMatMul(kC, np, kC, {c.product, 1, kC}, t.dy, np, t.dv, np, true);
  SmallMatMul(kC, np, np, {t.dy, np, 1}, t.state_t, np, t.dr_scaled, np);
  SmallMatMul(kC, np, np, {c.v, np, 1}, t.dstate_t, np, t.dk_scaled, np);
  for (size_t i = 0; i < np; i += Lanes()) {
    Vec sum = hn::Zero(F32());
    for (size_t j = 0; j < np; ++j) {
      sum = hn::MulAdd(hn::LoadU(F32(), t.state_t + j * np + i), hn::LoadU(F32(), t.dstate_t + j * np + i),
                       sum);
    }
    hn::StoreU(sum, F32(), t.dwhole + i);
  }
  ScaleRows(c.whole, np, np, t.dstate);
  SmallMatMul(np, np, kC, {c.r_scaled, 1, np}, t.dy, np, t.dstate, np, true);
}

/// The gradients of r, k and d for one vector of channels.
struct Wkv6Columns {
  Vec r[kWkvChunk], k[kWkvChunk], d[kWkvChunk];
  Vec dr[kWkvChunk], dk[kWkvChunk], dd[kWkvChunk];
};

/// Those that came through R~, K~ and the old state.
HWY_INLINE void ThroughState(const Wkv6Tiles& c, const Wkv6BackwardTiles& t, size_t rows, size_t np, size_t i,
                             Wkv6Columns& g) {
  const F32 f;
  Vec back = hn::LoadU(f, t.dwhole + i);  // of d_1 ... d_t
  for (size_t s = rows; s-- > 0;) {
    const Vec before = hn::LoadU(f, c.before + s * np + i), dr = hn::LoadU(f, t.dr_scaled + s * np + i);
    g.dd[s] = hn::Mul(back, before);
    g.dr[s] = hn::Mul(before, dr);
    back = hn::MulAdd(back, g.d[s], hn::Mul(g.r[s], dr));
  }
  Vec forth = hn::Zero(f);  // what the keys so far give the state
  for (size_t s = 0; s < rows; ++s) {
    const Vec after = hn::LoadU(f, c.after + s * np + i), dk = hn::LoadU(f, t.dk_scaled + s * np + i);
    g.dd[s] = hn::MulAdd(forth, after, g.dd[s]);
    g.dk[s] = hn::Mul(after, dk);
    forth = hn::MulAdd(forth, g.d[s], hn::Mul(g.k[s], dk));
  }
}

/// Those that came through A below its diagonal.
HWY_INLINE void ThroughPairs(const float* dproduct, size_t rows, Wkv6Columns& g) {
  Vec key[kWkvChunk];  // k_s as step t finds it
  for (size_t s = 0; s + 1 < rows; ++s) {
    Vec decaying = g.k[s], back = hn::Zero(F32());
    for (size_t t = s + 1; t < rows; ++t) {
      key[t] = decaying;
      g.dr[t] = hn::MulAdd(hn::Set(F32(), dproduct[t * kWkvChunk + s]), decaying, g.dr[t]);
      decaying = hn::Mul(decaying, g.d[t]);
    }
    for (size_t t = rows; t-- > s + 1;) {
      g.dd[t] = hn::MulAdd(key[t], back, g.dd[t]);
      back = hn::MulAdd(back, g.d[t], hn::Mul(hn::Set(F32(), dproduct[t * kWkvChunk + s]), g.r[t]));
    }
    g.dk[s] = hn::Add(g.dk[s], back);
  }
}

/// dd/dw = -exp(w - exp(w)), written so that a large w gives 0.
HWY_INLINE Vec DecaySlope(Vec w) { return hn::Neg(hn::Exp(F32(), hn::Sub(w, hn::Exp(F32(), w)))); }

/// The gradients of the chunk's inputs, for the channels of one vector.
template <class Io>
HWY_INLINE void StoreColumns(Io io, const Wkv6Head& head, const Wkv6Gradients& out, const Wkv6Tiles& c,
                             const Wkv6BackwardTiles& t, size_t first, size_t rows, size_t np, size_t i) {
  const F32 f;
  Wkv6Columns g;
  for (size_t s = 0; s < rows; ++s) {
    g.r[s] = hn::LoadU(f, c.r + s * np + i);
    g.k[s] = hn::LoadU(f, c.k + s * np + i);
    g.d[s] = hn::LoadU(f, c.d + s * np + i);
  }
  ThroughState(c, t, rows, np, i, g);
  ThroughPairs(t.dproduct, rows, g);
  const Vec u = hn::LoadU(f, c.u + i);
  Vec du = hn::LoadU(f, t.sum_du + i), dd = hn::LoadU(f, t.sum_dd + i);
  for (size_t s = 0; s < rows; ++s) {
    const size_t at = (first + s) * head.width + i;
    const Vec now = hn::Set(f, t.dproduct[s * kWkvChunk + s]), now_u = hn::Mul(now, u);
    io.Store(hn::MulAdd(now_u, g.k[s], g.dr[s]), out.r + at);
    io.Store(hn::MulAdd(now_u, g.r[s], g.dk[s]), out.k + at);
    io.Store(hn::LoadU(f, t.dv + s * np + i), out.v + at);
    du = hn::MulAdd(hn::Mul(now, g.r[s]), g.k[s], du);
    if (head.w_stride == 0) {
      dd = hn::Add(dd, g.dd[s]);
    } else {
      io.Store(hn::Mul(g.dd[s], DecaySlope(io.Load(head.w + at))), out.w + at);
    }
  }
  hn::StoreU(du, f, t.sum_du + i);
  hn::StoreU(dd, f, t.sum_dd + i);
}

void Wkv6BackwardChunks(const Wkv6Head& head, const Wkv6Gradients& out) {
  const size_t n = head.n, np = PaddedHead(n), width = head.width;
  Scratch scratch(Wkv6Tiles::Floats(np) + Wkv6BackwardTiles::Floats(np) + np * np);
  const Wkv6Tiles c(scratch, np);
  const Wkv6BackwardTiles t(scratch, np);
  float* state = scratch.Take(np * np);
  LoadBonus(head, c);
  std::memset(state, 0, np * np * sizeof(float));
  if (out.dstate_out != nullptr) PadSquare(out.dstate_out, n, t.dstate, np);
  for (size_t chunk = (head.length + kWkvChunk - 1) / kWkvChunk; chunk-- > 0;) {
    const size_t first = chunk * kWkvChunk, rows = std::min(kWkvChunk, head.length - first);
    LoadChunk(head, first, rows, np, c);
    ChunkProduct(rows, np, c);
    LoadRows(out.dy + first * width, width, n, rows, t.dy, np);
    PadSquare(out.snapshots + chunk * out.snapshot_stride, n, state, np);
    Transpose(state, np, np, t.state_t);
    BackwardProducts(c, t, np);
    ForLanes(n, [&](auto io, size_t i) HWY_ATTR { StoreColumns(io, head, out, c, t, first, rows, np, i); });
  }
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    io.Store(hn::LoadU(F32(), t.sum_du + i), out.u + i);
    if (head.w_stride != 0) return;
    io.Store(hn::Mul(hn::LoadU(F32(), t.sum_dd + i), DecaySlope(io.Load(head.w + i))), out.w + i);
  });
  if (out.dstate_in == nullptr) return;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) out.dstate_in[i * n + j] += t.dstate[i * np + j];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(Wkv6BackwardChunks);

void CpuBackend::Wkv6Backward(const Wkv6Inputs& in, const Tensor& snapshots, const Sequences& sequences,
                              int heads, const Tensor& dy, const Tensor& dstate_out, const Wkv6Inputs& d,
                              const Tensor& dstate_in) {
  const int64_t width = dy.dim(1), n = width / heads, square = n * n;
  const std::vector<int64_t> starts = WkvSnapshotStarts(sequences, 0);
  ParallelFor(int64_t{sequences.sequences()} * heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int s = static_cast<int>(item / heads);
      const int64_t h = item % heads, at = sequences.start[s] * width + h * n,
                    per_sequence = s * width + h * n;
      const int64_t state_at = (sequences.slot[s] * heads + h) * square;
      const Wkv6Head head = Wkv6HeadAt(in, sequences, s, h, n);
      HWY_DYNAMIC_DISPATCH(Wkv6BackwardChunks)
      (head, {dy.data() + at, snapshots.data() + (starts[s] * heads + h) * square,
              static_cast<size_t>(heads * square), dstate_out ? dstate_out.data() + state_at : nullptr,
              d.r.data() + at, d.k.data() + at, d.v.data() + at,
              d.w.data() + (head.w_stride == 0 ? per_sequence : at), d.u.data() + per_sequence,
              dstate_in ? dstate_in.data() + state_at : nullptr});
    }
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
