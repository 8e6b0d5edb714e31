// The WKV-7 recurrence, forward: in chunks for a sequence, step by step for a few tokens. wkv7_chunk.h has
// the formulas.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7_forward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/wkv7_chunk.h"

#ifndef LINNET_KERNELS_CPU_WKV7_FORWARD_ONCE
#define LINNET_KERNELS_CPU_WKV7_FORWARD_ONCE
namespace linnet {

/// One head of one sequence.
struct Wkv7ForwardHead {
  Wkv7Rows<const float> in;
  float* y;
  float* u;          // null unless a backward pass is to come
  float* snapshots;  // [chunks + 1] states, `snapshot_stride` floats apart; null likewise
  size_t snapshot_stride;
  size_t width, n, length;
  const float* state_in;  // [n value, n key]
  float* state_out;
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// Solves U <- U + tril(AB, -1) U for the 16 rows of U, one vector of columns at a time: they stay in
/// registers.
HWY_INLINE void SolveForward(const float* ab, float* u, size_t np) {
  for (size_t column = 0; column < np; column += Lanes()) {
    Vec rows[kWkvChunk];
    for (size_t t = 0; t < kWkvChunk; ++t) rows[t] = hn::LoadU(F32(), u + t * np + column);
#pragma GCC unroll 16
    for (size_t s = 0; s < kWkvChunk; ++s) {
#pragma GCC unroll 16
      for (size_t t = s + 1; t < kWkvChunk; ++t) {
        rows[t] = hn::MulAdd(hn::Set(F32(), ab[t * kPair + s]), rows[s], rows[t]);
      }
    }
    for (size_t t = 0; t < kWkvChunk; ++t) hn::StoreU(rows[t], F32(), u + t * np + column);
  }
}

/// One chunk. `state_t` [np key, np value] is the state, transposed; `out` [32, np] is working memory.
HWY_INLINE void ForwardChunk(const ChunkTiles& tiles, size_t np, float* state_t, float* out) {
  ChunkProduct(tiles, np);
  float *u = tiles.uv, *v = u + kWkvChunk * np, *y = out + kWkvChunk * np;
  SmallMatMul(kPair, np, np, {tiles.ar, np, 1}, state_t, np, out, np);
  SmallMatMul(kWkvChunk, np, kWkvChunk, {tiles.product + kWkvChunk, kPair, 1}, v, np, out, np, true);
  SolveForward(tiles.product, out, np);
  std::memcpy(u, out, kWkvChunk * np * sizeof(float));
  SmallMatMul(kWkvChunk, np, kPair, {tiles.product + kWkvChunk * kPair, kPair, 1}, tiles.uv, np, y, np, true);
  SmallMatMul(np, np, kPair, {tiles.bk, 1, np}, tiles.uv, np, state_t, np, true);
  ScaleRows(tiles.decay + (kWkvChunk - 1) * np, np, np, state_t);
}

void ForwardChunks(const Wkv7ForwardHead& head) {
  const size_t n = head.n, np = PaddedHead(n);
  thread_local size_t scratch_np = 0;
  thread_local std::unique_ptr<Scratch> scratch;
  thread_local std::unique_ptr<ChunkTiles> tiles_of_thread;
  thread_local float *state = nullptr, *state_t = nullptr, *out = nullptr;
  if (scratch_np != np) {
    scratch = std::make_unique<Scratch>(ChunkTiles::Floats(np) + 2 * np * np + kPair * np);
    tiles_of_thread = std::make_unique<ChunkTiles>(*scratch, np);
    state = scratch->Take(np * np);
    state_t = scratch->Take(np * np);
    out = scratch->Take(kPair * np);
    scratch_np = np;
    std::memset(tiles_of_thread->ar, 0,
                ChunkTiles::Floats(np) * sizeof(float));  // columns beyond n stay zero
  }
  const ChunkTiles& tiles = *tiles_of_thread;
  PadSquare(head.state_in, n, state, np);
  Transpose(state, np, np, state_t);
  const auto snapshot = [&](size_t chunk) {
    if (head.snapshots == nullptr) return;
    Transpose(state_t, np, np, state);
    UnpadSquare(state, np, head.snapshots + chunk * head.snapshot_stride, n);
  };
  Wkv7Rows<const float> in = head.in;
  for (size_t t = 0; t < head.length; t += kWkvChunk) {
    const size_t rows = std::min(kWkvChunk, head.length - t), skip = kWkvChunk * head.width;
    snapshot(t / kWkvChunk);
    LoadChunk(in, head.width, n, np, rows, tiles);
    ForwardChunk(tiles, np, state_t, out);
    StoreRows(out + kWkvChunk * np, np, head.y + t * head.width, head.width, n, rows);
    if (head.u != nullptr) StoreRows(tiles.uv, np, head.u + t * head.width, head.width, n, rows);
    in = {in.r + skip, in.w + skip, in.k + skip, in.v + skip, in.a + skip, in.b + skip};
  }
  snapshot((head.length + kWkvChunk - 1) / kWkvChunk);
  Transpose(state_t, np, np, state);
  UnpadSquare(state, np, head.state_out, n);
}

/// One step on row i of the state: S_i <- S_i d + <S_i, a> b + v_i k. Returns <S_i, r>.
HWY_INLINE float StepRow(const Wkv7Rows<const float>& in, const float* decay, const float* from, float* to,
                         float v, size_t n) {
  Vec dot = hn::Zero(F32());
  ForLanes(n,
           [&](auto io, size_t j) HWY_ATTR { dot = hn::MulAdd(io.Load(from + j), io.Load(in.a + j), dot); });
  const Vec u = hn::Set(F32(), Sum(dot)), value = hn::Set(F32(), v);
  Vec y = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t j) HWY_ATTR {
    Vec s = hn::Mul(io.Load(from + j), io.Load(decay + j));
    s = hn::MulAdd(u, io.Load(in.b + j), s);
    s = hn::MulAdd(value, io.Load(in.k + j), s);
    io.Store(s, to + j);
    y = hn::MulAdd(s, io.Load(in.r + j), y);
  });
  return Sum(y);
}

void ForwardSteps(const Wkv7ForwardHead& head) {
  constexpr size_t kMaxHead = 1024;
  HWY_ALIGN float decay[kMaxHead];
  const float* from = head.state_in;
  for (size_t t = 0; t < head.length; ++t) {
    const size_t at = t * head.width;
    const Wkv7Rows<const float> in{head.in.r + at, head.in.w + at, head.in.k + at,
                                   head.in.v + at, head.in.a + at, head.in.b + at};
    ForLanes(head.n, [&](auto io, size_t j) HWY_ATTR {
      const Vec log_decay = hn::Mul(hn::Set(F32(), kWkv7DecayScale), Sigmoid(io.Load(in.w + j)));
      io.Store(hn::Exp(F32(), log_decay), decay + j);
    });
    for (size_t i = 0; i < head.n; ++i) {
      head.y[at + i] = StepRow(in, decay, from + i * head.n, head.state_out + i * head.n, in.v[i], head.n);
    }
    from = head.state_out;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(ForwardChunks);
HWY_EXPORT(ForwardSteps);

int CpuBackend::Wkv7Snapshots(const Sequences& sequences) const {
  return static_cast<int>(WkvSnapshotStarts(sequences, 1).back());
}

void CpuBackend::Wkv7Forward(const Wkv7Inputs& in, const Sequences& sequences, int heads,
                             const StateRef& state, const Tensor& y, const Wkv7Saved& saved) {
  const int64_t width = y.dim(1), n = width / heads, square = n * n;
  const std::vector<int64_t> starts = WkvSnapshotStarts(sequences, 1);
  const auto run = [&](int s, int64_t h) {
    const int64_t at = sequences.start[s] * width + h * n, length = sequences.length(s);
    const int64_t state_at = (sequences.slot[s] * heads + h) * square;
    const Wkv7Rows<float> rows = RowsAt(in, at);
    const Wkv7ForwardHead head{
        {rows.r, rows.w, rows.k, rows.v, rows.a, rows.b},
        y.data() + at,
        saved.u ? saved.u.data() + at : nullptr,
        saved.states ? saved.states.data() + (starts[s] * heads + h) * square : nullptr,
        static_cast<size_t>(heads * square),
        static_cast<size_t>(width),
        static_cast<size_t>(n),
        static_cast<size_t>(length),
        state.in.data() + state_at,
        state.out.data() + state_at};
    if (length <= kWkvStepRows && !saved.states) {
      HWY_DYNAMIC_DISPATCH(ForwardSteps)(head);
    } else {
      HWY_DYNAMIC_DISPATCH(ForwardChunks)(head);
    }
  };
  ParallelFor(int64_t{sequences.sequences()} * heads, WkvGrain(sequences, square),
              [&](int64_t begin, int64_t end) {
                for (int64_t item = begin; item < end; ++item)
                  run(static_cast<int>(item / heads), item % heads);
              });
}

}  // namespace linnet
#endif  // HWY_ONCE
