// What the forward and backward pass of the chunked WKV-7 recurrence share.
//
// The recurrence (row vectors; S is [value, key]; d_t the decay, a_t the removal key, b_t the replacement
// key):
//
//     S_t = S_{t-1} (diag(d_t) + a_t^T b_t) + v_t^T k_t          y_t = S_t r_t
//
// Within a chunk of 16 steps let W_t = d_1 ... d_t (elementwise, W_0 = 1) and scale the decay away:
//
//     a~_t = a_t W_{t-1}    r~_t = r_t W_t    b~_t = b_t / W_t    k~_t = k_t / W_t    u_t = S_{t-1} a_t
//
// Then, with S_0 the state before the chunk and rows of matrices for the steps, everything is a product of
// matrices:
//
//     U = A~ S_0^T + tril(A~ B~^T, -1) U + tril(A~ K~^T, -1) V      (a triangular system of 16 rows for U)
//     Y = R~ S_0^T + tril(R~ B~^T)     U + tril(R~ K~^T)     V
//     S_16 = (S_0 + U^T B~ + V^T K~) diag(W_16)
//
// d lies in (0.545, 1), so W_16 >= 6e-5: float32 carries the scaling without loss. This is the chunked form
// of the delta rule with decay (Yang et al., arXiv:2412.06464; Peng et al., arXiv:2503.14456), written for
// the caches of a CPU: it costs as many operations as the steps one by one, but they are independent of each
// other and run at the speed of a product.
//
// Included once per target, hence the toggled guard.
#ifndef LINNET_KERNELS_CPU_WKV7_CHUNK_ONCE
#define LINNET_KERNELS_CPU_WKV7_CHUNK_ONCE
#include "kernels/backend.h"

namespace linnet {

/// log d = kWkv7DecayScale * sigmoid(w)
inline constexpr float kWkv7DecayScale = -0.60653065971263342f;  // -e^{-1/2}

/// Pointers to the six inputs (or their gradients) of one head, at the first row of a sequence.
template <class T>
struct Wkv7Rows {
  T *r, *w, *k, *v, *a, *b;
};

/// `at` is row * C + head * D.
inline Wkv7Rows<float> RowsAt(const Wkv7Inputs& in, int64_t at) {
  return {in.r.data() + at, in.w.data() + at, in.k.data() + at,
          in.v.data() + at, in.a.data() + at, in.b.data() + at};
}

}  // namespace linnet
#endif

#if defined(LINNET_KERNELS_CPU_WKV7_CHUNK_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CPU_WKV7_CHUNK_H_
#undef LINNET_KERNELS_CPU_WKV7_CHUNK_H_
#else
#define LINNET_KERNELS_CPU_WKV7_CHUNK_H_
#endif

#include "kernels/cpu/wkv_tiles.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

inline constexpr size_t kPair = 2 * kWkvChunk;  // rows of a matrix that holds two kinds of vectors

/// The scaled vectors of a chunk; rows beyond its length are zero and leave the state alone.
struct ChunkTiles {
  float* ar;       // [32, np]: a~, then r~
  float* bk;       // [32, np]: b~, then k~
  float* uv;       // [32, np]: u, then v
  float* decay;    // [16, np]: W_t
  float* bk_t;     // [np, 32]
  float* product;  // [32, 32]: [a~; r~] [b~; k~]^T, masked

  static size_t Floats(size_t np) { return np * (3 * kPair + kWkvChunk + kPair) + kPair * kPair; }
  ChunkTiles(Scratch& scratch, size_t np)
      : ar(scratch.Take(kPair * np)),
        bk(scratch.Take(kPair * np)),
        uv(scratch.Take(kPair * np)),
        decay(scratch.Take(kWkvChunk * np)),
        bk_t(scratch.Take(np * kPair)),
        product(scratch.Take(kPair * kPair)) {}
};

/// The scaled vectors of one step. `w` is W_{t-1} on entry and W_t on return.
template <class Io>
HWY_INLINE void ScaleStep(Io io, const Wkv7Rows<const float>& in, size_t from, size_t np,
                          const ChunkTiles& tiles, size_t to, Vec& w) {
  const F32 d;
  const size_t second = kWkvChunk * np + to;
  hn::StoreU(hn::Mul(w, io.Load(in.a + from)), d, tiles.ar + to);
  const Vec log_decay = hn::Mul(hn::Set(d, kWkv7DecayScale), Sigmoid(io.Load(in.w + from)));
  w = hn::Mul(w, hn::Exp(d, log_decay));
  const Vec inverse = hn::Div(hn::Set(d, 1.0f), w);
  hn::StoreU(hn::Mul(w, io.Load(in.r + from)), d, tiles.ar + second);
  hn::StoreU(hn::Mul(inverse, io.Load(in.b + from)), d, tiles.bk + to);
  hn::StoreU(hn::Mul(inverse, io.Load(in.k + from)), d, tiles.bk + second);
  hn::StoreU(io.Load(in.v + from), d, tiles.uv + second);
  hn::StoreU(w, d, tiles.decay + to);
}

/// Fills ar, bk, the lower half of uv and decay from `length` rows of stride `width`.
HWY_INLINE void LoadChunk(const Wkv7Rows<const float>& in, size_t width, size_t n, size_t np, size_t length,
                          const ChunkTiles& tiles) {
  const F32 d;
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    Vec w = hn::Set(d, 1.0f);
    for (size_t t = 0; t < length; ++t) ScaleStep(io, in, t * width + i, np, tiles, t * np + i, w);
    for (size_t t = length; t < kWkvChunk; ++t) {
      const size_t first = t * np + i, second = first + kWkvChunk * np;
      for (float* tile : {tiles.ar, tiles.bk, tiles.uv}) hn::StoreU(hn::Zero(d), d, tile + second);
      for (float* tile : {tiles.ar, tiles.bk}) hn::StoreU(hn::Zero(d), d, tile + first);
      hn::StoreU(w, d, tiles.decay + first);
    }
  });
}

/// Zeroes what lies above the diagonal of each 16 x 16 quarter, and in the upper half (a~: the old state) the
/// diagonal.
HWY_INLINE void MaskCausal(float* product) {
  for (size_t t = 0; t < kWkvChunk; ++t) {
    for (size_t s = t; s < kWkvChunk; ++s) {
      product[t * kPair + s] = product[t * kPair + kWkvChunk + s] = 0;
      if (s == t) continue;
      product[(kWkvChunk + t) * kPair + s] = product[(kWkvChunk + t) * kPair + kWkvChunk + s] = 0;
    }
  }
}

/// product = mask([a~; r~] [b~; k~]^T)
HWY_INLINE void ChunkProduct(const ChunkTiles& tiles, size_t np) {
  Transpose(tiles.bk, kPair, np, tiles.bk_t);
  SmallMatMul(kPair, kPair, np, {tiles.ar, np, 1}, tiles.bk_t, kPair, tiles.product, kPair);
  MaskCausal(tiles.product);
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();
#endif
