// The WKV-7 recurrence, backward, in chunks from the last to the first. wkv7_chunk.h has the forward
// formulas; reversing them, with dX for dL/dX, S^ for S_0 + U^T B~ + V^T K~ and the masks of the forward pass
// on every product over steps:
//
//     dS^ = dS_16 diag(W_16)
//     dU  = B~ dS^^T + (R~ B~^T)^T dY       dU' = (1 - A~ B~^T)^{-T} dU
//     dV  = K~ dS^^T + (R~ K~^T)^T dY + (A~ K~^T)^T dU'
//     dB~ = U dS^ + (dU' U^T)^T A~ + (dY U^T)^T R~        dK~ the same with V for U
//     dA~ = dU' S_0 + (dU' U^T) B~ + (dU' V^T) K~         dR~ the same with dY for dU'
//     dS_0 = dS^ + dY^T R~ + dU'^T A~
//
// The gradient of the decays is that of log W_t, collected from the four scalings and S_16, summed back over
// the steps.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7_backward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/wkv7_chunk.h"

#ifndef LINNET_KERNELS_CPU_WKV7_BACKWARD_ONCE
#define LINNET_KERNELS_CPU_WKV7_BACKWARD_ONCE
namespace linnet {

/// One head of one sequence.
struct Wkv7BackwardHead {
  Wkv7Rows<const float> in;
  Wkv7Rows<float> gradients;
  const float *u, *dy;
  const float* snapshots;
  size_t snapshot_stride;
  size_t width, n, length;
  const float* dstate_out;  // [n, n] or null
  float* dstate_in;         // += ; or null
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// Solves dU <- dU + tril(AB, -1)^T dU for 16 rows, from the last to the first.
HWY_INLINE void SolveBackward(const float* ab, float* du, size_t np) {
  for (size_t column = 0; column < np; column += Lanes()) {
    Vec rows[kWkvChunk];
    for (size_t t = 0; t < kWkvChunk; ++t) rows[t] = hn::LoadU(F32(), du + t * np + column);
#pragma GCC unroll 16
    for (size_t back = 0; back < kWkvChunk; ++back) {
      const size_t s = kWkvChunk - 1 - back;
#pragma GCC unroll 16
      for (size_t t = 0; t < s; ++t) {
        rows[t] = hn::MulAdd(hn::Set(F32(), ab[s * kPair + t]), rows[s], rows[t]);
      }
    }
    for (size_t t = 0; t < kWkvChunk; ++t) hn::StoreU(rows[t], F32(), du + t * np + column);
  }
}

/// Working memory beyond that of the forward pass.
struct BackwardTiles {
  float* duy;       // [32, np]: dU', then dY
  float* dv;        // [16, np]
  float* dar;       // [32, np]: da~, then dr~
  float* dbk;       // [32, np]: db~, then dk~
  float* uv_t;      // [np, 32]
  float* dproduct;  // [32, 32]
  float* state;     // [np, np]: S_0
  float* dstate;    // [np, np]: dS, then dS^
  float* dstate_t;  // [np, np]: dS^ transposed
  float* dlog_end;  // [np]: gradient of log W_16 through the state that the chunk leaves

  static size_t Floats(size_t np) { return np * (4 * kPair + kWkvChunk + 3 * np + 1) + kPair * kPair; }
  BackwardTiles(Scratch& scratch, size_t np)
      : duy(scratch.Take(kPair * np)),
        dv(scratch.Take(kWkvChunk * np)),
        dar(scratch.Take(kPair * np)),
        dbk(scratch.Take(kPair * np)),
        uv_t(scratch.Take(np * kPair)),
        dproduct(scratch.Take(kPair * kPair)),
        state(scratch.Take(np * np)),
        dstate(scratch.Take(np * np)),
        dstate_t(scratch.Take(np * np)),
        dlog_end(scratch.Take(np)) {}
};

/// dlog_end[j] = sum_i dS_16[i, j] S_16[i, j];  then dS^ = dS_16 diag(W_16).
HWY_INLINE void LeaveState(const float* state_after, size_t n, const float* decay, size_t np,
                           const BackwardTiles& t) {
  ForLanes(n, [&](auto io, size_t j) HWY_ATTR {
    const Vec w = hn::LoadU(F32(), decay + j);
    Vec sum = hn::Zero(F32());
    for (size_t i = 0; i < n; ++i) {
      const Vec ds = hn::LoadU(F32(), t.dstate + i * np + j);
      sum = hn::MulAdd(ds, io.Load(state_after + i * n + j), sum);
      hn::StoreU(hn::Mul(ds, w), F32(), t.dstate + i * np + j);
    }
    hn::StoreU(sum, F32(), t.dlog_end + j);
  });
}

/// From the chunk's inputs and dY to the gradients of the scaled vectors, dV and dS_0.
HWY_INLINE void BackwardChunk(const ChunkTiles& c, const BackwardTiles& t, size_t np) {
  float *du = t.duy, *dy = t.duy + kWkvChunk * np;
  ChunkProduct(c, np);
  const float* r_rows = c.product + kWkvChunk * kPair;
  Transpose(t.dstate, np, np, t.dstate_t);
  SmallMatMul(kWkvChunk, np, np, {c.bk, np, 1}, t.dstate_t, np, du, np);
  SmallMatMul(kWkvChunk, np, kWkvChunk, {r_rows, 1, kPair}, dy, np, du, np, true);
  SolveBackward(c.product, du, np);
  SmallMatMul(kWkvChunk, np, np, {c.bk + kWkvChunk * np, np, 1}, t.dstate_t, np, t.dv, np);
  SmallMatMul(kWkvChunk, np, kWkvChunk, {r_rows + kWkvChunk, 1, kPair}, dy, np, t.dv, np, true);
  SmallMatMul(kWkvChunk, np, kWkvChunk, {c.product + kWkvChunk, 1, kPair}, du, np, t.dv, np, true);

  Transpose(c.uv, kPair, np, t.uv_t);
  SmallMatMul(kPair, kPair, np, {t.duy, np, 1}, t.uv_t, kPair, t.dproduct, kPair);
  MaskCausal(t.dproduct);
  SmallMatMul(kPair, np, np, {c.uv, np, 1}, t.dstate, np, t.dbk, np);
  SmallMatMul(kPair, np, kPair, {t.dproduct, 1, kPair}, c.ar, np, t.dbk, np, true);
  SmallMatMul(kPair, np, np, {t.duy, np, 1}, t.state, np, t.dar, np);
  SmallMatMul(kPair, np, kPair, {t.dproduct, kPair, 1}, c.bk, np, t.dar, np, true);
  SmallMatMul(np, np, kPair, {t.duy, 1, np}, c.ar, np, t.dstate, np, true);
}

/// From the gradients of the scaled vectors to those of the inputs, for the columns of one vector.
template <class Io>
HWY_INLINE void UnscaleColumns(Io io, const ChunkTiles& c, const BackwardTiles& tiles,
                               const Wkv7BackwardHead& head, size_t first, size_t rows, size_t np, size_t i) {
  const F32 d;
  const Vec one = hn::Set(d, 1.0f), scale = hn::Set(d, kWkv7DecayScale);
  Vec dlog = hn::LoadU(d, tiles.dlog_end + i);  // of log d_t: the sum of those of log W_s, s >= t
  Vec removal = hn::Zero(d);                    // a~_{t+1} da~_{t+1}, which holds W_t
  for (size_t t = rows; t-- > 0;) {
    const size_t upper = t * np + i, lower = upper + kWkvChunk * np, at = (first + t) * head.width + i;
    const Vec w = hn::LoadU(d, c.decay + upper), inverse = hn::Div(one, w);
    const Vec before = t > 0 ? hn::LoadU(d, c.decay + upper - np) : one;
    const Vec da = hn::LoadU(d, tiles.dar + upper), dr = hn::LoadU(d, tiles.dar + lower);
    const Vec db = hn::LoadU(d, tiles.dbk + upper), dk = hn::LoadU(d, tiles.dbk + lower);
    dlog = hn::Add(dlog, removal);
    dlog = hn::MulAdd(dr, hn::LoadU(d, c.ar + lower), dlog);
    dlog = hn::NegMulAdd(db, hn::LoadU(d, c.bk + upper), dlog);
    dlog = hn::NegMulAdd(dk, hn::LoadU(d, c.bk + lower), dlog);
    removal = hn::Mul(da, hn::LoadU(d, c.ar + upper));
    const Vec gate = Sigmoid(io.Load(head.in.w + at));
    io.Store(hn::Mul(dlog, hn::Mul(scale, hn::Mul(gate, hn::Sub(one, gate)))), head.gradients.w + at);
    io.Store(hn::Mul(dr, w), head.gradients.r + at);
    io.Store(hn::Mul(da, before), head.gradients.a + at);
    io.Store(hn::Mul(db, inverse), head.gradients.b + at);
    io.Store(hn::Mul(dk, inverse), head.gradients.k + at);
    io.Store(hn::LoadU(d, tiles.dv + upper), head.gradients.v + at);
  }
}

void BackwardChunks(const Wkv7BackwardHead& head) {
  const size_t n = head.n, np = PaddedHead(n), width = head.width;
  Scratch scratch(ChunkTiles::Floats(np) + BackwardTiles::Floats(np));
  const ChunkTiles c(scratch, np);
  const BackwardTiles t(scratch, np);
  std::memset(c.ar, 0, (ChunkTiles::Floats(np) + BackwardTiles::Floats(np)) * sizeof(float));
  if (head.dstate_out != nullptr) PadSquare(head.dstate_out, n, t.dstate, np);
  for (size_t chunk = (head.length + kWkvChunk - 1) / kWkvChunk; chunk-- > 0;) {
    const size_t first = chunk * kWkvChunk, rows = std::min(kWkvChunk, head.length - first),
                 at = first * width;
    LoadChunk(
        {head.in.r + at, head.in.w + at, head.in.k + at, head.in.v + at, head.in.a + at, head.in.b + at},
        width, n, np, rows, c);
    LoadRows(head.u + at, width, n, rows, c.uv, np);
    LoadRows(head.dy + at, width, n, rows, t.duy + kWkvChunk * np, np);
    PadSquare(head.snapshots + chunk * head.snapshot_stride, n, t.state, np);
    LeaveState(head.snapshots + (chunk + 1) * head.snapshot_stride, n, c.decay + (kWkvChunk - 1) * np, np, t);
    BackwardChunk(c, t, np);
    ForLanes(n, [&](auto io, size_t i) HWY_ATTR { UnscaleColumns(io, c, t, head, first, rows, np, i); });
  }
  if (head.dstate_in == nullptr) return;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) head.dstate_in[i * n + j] += t.dstate[i * np + j];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(BackwardChunks);

void CpuBackend::Wkv7Backward(const Wkv7Inputs& in, const Wkv7Saved& saved, const Sequences& sequences,
                              int heads, const Tensor& dy, const Tensor& dstate_out,
                              const Wkv7Inputs& gradients, const Tensor& dstate_in) {
  const int64_t width = dy.dim(1), n = width / heads, square = n * n;
  const std::vector<int64_t> starts = WkvSnapshotStarts(sequences, 1);
  ParallelFor(int64_t{sequences.sequences()} * heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int s = static_cast<int>(item / heads);
      const int64_t h = item % heads, at = sequences.start[s] * width + h * n;
      const int64_t state_at = (sequences.slot[s] * heads + h) * square;
      const Wkv7Rows<float> rows = RowsAt(in, at);
      HWY_DYNAMIC_DISPATCH(BackwardChunks)
      ({{rows.r, rows.w, rows.k, rows.v, rows.a, rows.b},
        RowsAt(gradients, at),
        saved.u.data() + at,
        dy.data() + at,
        saved.states.data() + (starts[s] * heads + h) * square,
        static_cast<size_t>(heads * square),
        static_cast<size_t>(width),
        static_cast<size_t>(n),
        static_cast<size_t>(sequences.length(s)),
        dstate_out ? dstate_out.data() + state_at : nullptr,
        dstate_in ? dstate_in.data() + state_at : nullptr});
    }
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
