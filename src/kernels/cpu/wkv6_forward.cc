// The WKV-6 recurrence, forward: in chunks for a sequence, step by step for a few tokens. wkv6_chunk.h has
// the formulas.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv6_forward.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/wkv6_chunk.h"

#ifndef LINNET_KERNELS_CPU_WKV6_FORWARD_ONCE
#define LINNET_KERNELS_CPU_WKV6_FORWARD_ONCE
namespace linnet {

/// Where the results of one head of one sequence go.
struct Wkv6Results {
  float* y;
  const float* state_in;  // [n key, n value]
  float* state_out;
  float*
      snapshots;  // one state a chunk, `snapshot_stride` floats apart; null unless a backward pass is to come
  size_t snapshot_stride;
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void Wkv6Chunks(const Wkv6Head& head, const Wkv6Results& out) {
  const size_t n = head.n, np = PaddedHead(n);
  thread_local size_t scratch_np = 0;
  thread_local std::unique_ptr<Scratch> scratch;
  thread_local std::unique_ptr<Wkv6Tiles> tiles_of_thread;
  thread_local float *state = nullptr, *y = nullptr;
  if (scratch_np != np) {
    scratch = std::make_unique<Scratch>(Wkv6Tiles::Floats(np) + np * np + kWkvChunk * np);
    tiles_of_thread = std::make_unique<Wkv6Tiles>(*scratch, np);
    state = scratch->Take(np * np);
    y = scratch->Take(kWkvChunk * np);
    scratch_np = np;
  }
  const Wkv6Tiles& tiles = *tiles_of_thread;
  LoadBonus(head, tiles);
  PadSquare(out.state_in, n, state, np);
  for (size_t t = 0; t < head.length; t += kWkvChunk) {
    const size_t rows = std::min(kWkvChunk, head.length - t);
    if (out.snapshots != nullptr) {
      UnpadSquare(state, np, out.snapshots + t / kWkvChunk * out.snapshot_stride, n);
    }
    LoadChunk(head, t, rows, np, tiles);
    ChunkProduct(rows, np, tiles);
    SmallMatMul(kWkvChunk, np, np, {tiles.r_scaled, np, 1}, state, np, y, np);
    SmallMatMul(kWkvChunk, np, kWkvChunk, {tiles.product, kWkvChunk, 1}, tiles.v, np, y, np, true);
    StoreRows(y, np, out.y + t * head.width, head.width, n, rows);
    ScaleRows(tiles.whole, np, np, state);
    SmallMatMul(np, np, kWkvChunk, {tiles.k_scaled, 1, np}, tiles.v, np, state, np, true);
  }
  UnpadSquare(state, np, out.state_out, n);
}

/// y = r S + <r u, k> v, and S = diag(d) S + k^T v, row by row of S.
void Wkv6Steps(const Wkv6Head& head, const Wkv6Results& out) {
  constexpr size_t kMaxHead = 1024;
  HWY_ALIGN float decay[kMaxHead];
  const size_t n = head.n;
  const float* from = out.state_in;
  for (size_t t = 0; t < head.length; ++t) {
    const size_t at = t * head.width;
    const float *r = head.r + at, *k = head.k + at, *v = head.v + at, *w = head.w + t * head.w_stride;
    float* y = out.y + at;
    Vec bonus = hn::Zero(F32());
    ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
      io.Store(DecayOf(io.Load(w + i)), decay + i);
      bonus = hn::MulAdd(hn::Mul(io.Load(r + i), io.Load(head.u + i)), io.Load(k + i), bonus);
    });
    const Vec now = hn::Set(F32(), Sum(bonus));
    ForLanes(n, [&](auto io, size_t j) HWY_ATTR { io.Store(hn::Mul(now, io.Load(v + j)), y + j); });
    for (size_t i = 0; i < n; ++i) {
      const Vec ri = hn::Set(F32(), r[i]), ki = hn::Set(F32(), k[i]), di = hn::Set(F32(), decay[i]);
      ForLanes(n, [&](auto io, size_t j) HWY_ATTR {
        const Vec s = io.Load(from + i * n + j);
        io.Store(hn::MulAdd(ri, s, io.Load(y + j)), y + j);
        io.Store(hn::MulAdd(di, s, hn::Mul(ki, io.Load(v + j))), out.state_out + i * n + j);
      });
    }
    from = out.state_out;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(Wkv6Chunks);
HWY_EXPORT(Wkv6Steps);

int CpuBackend::Wkv6Snapshots(const Sequences& sequences) const {
  return static_cast<int>(WkvSnapshotStarts(sequences, 0).back());
}

void CpuBackend::Wkv6Forward(const Wkv6Inputs& in, const Sequences& sequences, int heads,
                             const StateRef& state, const Tensor& y, const Tensor& snapshots) {
  const int64_t width = y.dim(1), n = width / heads, square = n * n;
  const std::vector<int64_t> starts = WkvSnapshotStarts(sequences, 0);
  const auto run = [&](int s, int64_t h) {
    const int64_t at = sequences.start[s] * width + h * n, length = sequences.length(s);
    const int64_t state_at = (sequences.slot[s] * heads + h) * square;
    const Wkv6Head head = Wkv6HeadAt(in, sequences, s, h, n);
    const Wkv6Results out{y.data() + at, state.in.data() + state_at, state.out.data() + state_at,
                          snapshots ? snapshots.data() + (starts[s] * heads + h) * square : nullptr,
                          static_cast<size_t>(heads * square)};
    if (length <= kWkvStepRows && !snapshots) {
      HWY_DYNAMIC_DISPATCH(Wkv6Steps)(head, out);
    } else {
      HWY_DYNAMIC_DISPATCH(Wkv6Chunks)(head, out);
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
