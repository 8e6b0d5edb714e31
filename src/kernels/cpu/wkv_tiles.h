// What the chunked recurrences with matrices as states (WKV-6, WKV-7) share: chunks of steps, working memory,
// and matrices padded to whole vectors.
//
// Included once per target, hence the toggled guard.
#ifndef LINNET_KERNELS_CPU_WKV_TILES_ONCE
#define LINNET_KERNELS_CPU_WKV_TILES_ONCE
#include <vector>

#include "kernels/backend.h"

namespace linnet {

inline constexpr size_t kWkvChunk = 16;
/// Up to this many rows the steps one by one are faster than a chunk padded to 16.
inline constexpr int64_t kWkvStepRows = 6;
static_assert(kCutRows % kWkvChunk == 0 && kCutRows > kWkvStepRows, "cuts must not be felt");

inline int64_t WkvChunks(int64_t length) {
  return (length + static_cast<int64_t>(kWkvChunk) - 1) / static_cast<int64_t>(kWkvChunk);
}

/// Where the snapshots of each sequence begin if it has one for every chunk and `more`; at the end their
/// number.
inline std::vector<int64_t> WkvSnapshotStarts(const Sequences& sequences, int64_t more) {
  std::vector<int64_t> starts{0};
  for (int s = 0; s < sequences.sequences(); ++s) {
    starts.push_back(starts.back() + WkvChunks(sequences.length(s)) + more);
  }
  return starts;
}

/// Heads of sequences that one thread takes at least, where each has n^2 numbers of state.
inline int64_t WkvGrain(const Sequences& sequences, int64_t square) {
  constexpr int64_t kGrainOperations = 1 << 15;
  const int64_t rows = std::max<int64_t>(1, sequences.start.back() / std::max(1, sequences.sequences()));
  return std::max<int64_t>(1, kGrainOperations / (rows * square));
}

}  // namespace linnet
#endif

#if defined(LINNET_KERNELS_CPU_WKV_TILES_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CPU_WKV_TILES_H_
#undef LINNET_KERNELS_CPU_WKV_TILES_H_
#else
#define LINNET_KERNELS_CPU_WKV_TILES_H_
#endif

#include "hwy/aligned_allocator.h"
#include "kernels/cpu/small_matmul.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// Working memory of one thread, cut into matrices of `np` columns: the head size rounded up to whole
/// vectors.
class Scratch {
 public:
  explicit Scratch(size_t floats) : memory_(hwy::AllocateAligned<float>(floats)), next_(memory_.get()) {}
  float* Take(size_t floats) {
    float* taken = next_;
    next_ += floats;
    return taken;
  }

 private:
  hwy::AlignedFreeUniquePtr<float[]> memory_;
  float* next_;
};

/// A multiple of the vector length and of the 4 rows that a tile of SmallMatMul has at least.
HWY_INLINE size_t PaddedHead(size_t n) {
  const size_t unit = std::max<size_t>(Lanes(), 4);
  return (n + unit - 1) / unit * unit;
}

/// Copies an [n, n] matrix into an [np, np] one whose rest is zero.
HWY_INLINE void PadSquare(const float* from, size_t n, float* to, size_t np) {
  for (size_t i = 0; i < n; ++i) {
    ForLanes(n, [&](auto io, size_t j)
                    HWY_ATTR { hn::StoreU(io.Load(from + i * n + j), F32(), to + i * np + j); });
  }
  for (size_t i = n * np; i < np * np; ++i) to[i] = 0;
}

/// The other way round.
HWY_INLINE void UnpadSquare(const float* from, size_t np, float* to, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    ForLanes(n, [&](auto io, size_t j)
                    HWY_ATTR { io.Store(hn::LoadU(F32(), from + i * np + j), to + i * n + j); });
  }
}

/// Rows of stride `width` into a matrix of np columns; the rows of the chunk beyond `rows` become zero.
HWY_INLINE void LoadRows(const float* from, size_t width, size_t n, size_t rows, float* to, size_t np) {
  for (size_t t = 0; t < kWkvChunk; ++t) {
    ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
      hn::StoreU(t < rows ? io.Load(from + t * width + i) : hn::Zero(F32()), F32(), to + t * np + i);
    });
  }
}

HWY_INLINE void StoreRows(const float* from, size_t np, float* to, size_t width, size_t n, size_t rows) {
  for (size_t t = 0; t < rows; ++t) {
    ForLanes(n, [&](auto io, size_t i)
                    HWY_ATTR { io.Store(hn::LoadU(F32(), from + t * np + i), to + t * width + i); });
  }
}

/// Row i of a matrix of np columns times scale[i].
HWY_INLINE void ScaleRows(const float* scale, size_t rows, size_t np, float* matrix) {
  for (size_t i = 0; i < rows; ++i) {
    const Vec factor = hn::Set(F32(), scale[i]);
    for (size_t j = 0; j < np; j += Lanes()) {
      hn::StoreU(hn::Mul(factor, hn::LoadU(F32(), matrix + i * np + j)), F32(), matrix + i * np + j);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();
#endif
