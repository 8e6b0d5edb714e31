// What the forward and backward pass of the chunked WKV-6 recurrence share. WKV-5 is the case of decays that
// are the same for all tokens.
//
// The recurrence (row vectors; S is [key, value], d_t the decay, u the bonus of the present token):
//
//     y_t = r_t (S_{t-1} + diag(u) k_t^T v_t)          S_t = diag(d_t) S_{t-1} + k_t^T v_t
//
// Within a chunk of 16 steps let P_t = d_1 ... d_{t-1} and E_t = d_{t+1} ... d_16 (elementwise), and scale
//
//     r~_t = r_t P_t      a_ts = <r_t, k_s d_{s+1} ... d_{t-1}> for s < t
//     k~_t = k_t E_t      a_tt = <r_t, u k_t>
//
// Then, with S_0 the state before the chunk and rows of matrices for the steps,
//
//     Y = R~ S_0 + A V               S_16 = diag(d_1 ... d_16) S_0 + K~^T V
//
// The decays may be as small as 0: the usual way to get A as one product, with keys divided by their decays
// (Yang et al., arXiv:2312.06635), would overflow. Every product of decays above has factors up to 1 and
// nothing is divided, so the 120 pairs of a chunk are multiplied out, each key decaying from step to step.
//
// Included once per target, hence the toggled guard.
#ifndef LINNET_KERNELS_CPU_WKV6_CHUNK_ONCE
#define LINNET_KERNELS_CPU_WKV6_CHUNK_ONCE
#include "kernels/backend.h"

namespace linnet {

/// One head of one sequence: pointers to its first channel, in the sequence's first row.
struct Wkv6Head {
  const float *r, *k, *v, *w, *u;
  size_t w_stride;  // from row to row: `width`, or 0 if the decay is the same for all
  size_t width, n, length;
};

/// Head h, of n channels, of sequence s.
inline Wkv6Head Wkv6HeadAt(const Wkv6Inputs& in, const Sequences& sequences, int s, int64_t h, int64_t n) {
  const int64_t width = in.r.dim(1), at = sequences.start[s] * width + h * n;
  const bool of_rows = in.w.size() > width;
  return {in.r.data() + at,
          in.k.data() + at,
          in.v.data() + at,
          in.w.data() + (of_rows ? at : h * n),
          in.u.data() + h * n,
          static_cast<size_t>(of_rows ? width : 0),
          static_cast<size_t>(width),
          static_cast<size_t>(n),
          static_cast<size_t>(sequences.length(s))};
}

}  // namespace linnet
#endif

#if defined(LINNET_KERNELS_CPU_WKV6_CHUNK_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CPU_WKV6_CHUNK_H_
#undef LINNET_KERNELS_CPU_WKV6_CHUNK_H_
#else
#define LINNET_KERNELS_CPU_WKV6_CHUNK_H_
#endif

#include "kernels/cpu/wkv_tiles.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// exp(-exp(w))
HWY_INLINE Vec DecayOf(Vec w) { return hn::Exp(F32(), hn::Neg(hn::Exp(F32(), w))); }

/// The vectors of a chunk, [16, np] each; rows beyond its length are zero and leave the state alone.
struct Wkv6Tiles {
  float *r, *k, *v, *d;
  float *before, *after;            // P, E
  float *r_scaled, *k_scaled;       // r~, k~
  float *whole, *u, *decaying_key;  // [np]: d_1 ... d_16, the bonus, and one key on its way through the chunk
  float* product;                   // [16, 16]: A

  static size_t Floats(size_t np) { return (8 * kWkvChunk + 3) * np + kWkvChunk * kWkvChunk; }
  Wkv6Tiles(Scratch& scratch, size_t np) {
    for (float** tile : {&r, &k, &v, &d, &before, &after, &r_scaled, &k_scaled}) {
      *tile = scratch.Take(kWkvChunk * np);
    }
    for (float** vector : {&whole, &u, &decaying_key}) *vector = scratch.Take(np);
    product = scratch.Take(kWkvChunk * kWkvChunk);
    std::memset(r, 0, Floats(np) * sizeof(float));  // columns beyond n stay zero
  }
};

/// Fills the tiles from `rows` rows, the first of which is row `first` of the sequence.
HWY_INLINE void LoadChunk(const Wkv6Head& h, size_t first, size_t rows, size_t np, const Wkv6Tiles& tiles) {
  const F32 f;
  LoadRows(h.r + first * h.width, h.width, h.n, rows, tiles.r, np);
  LoadRows(h.k + first * h.width, h.width, h.n, rows, tiles.k, np);
  LoadRows(h.v + first * h.width, h.width, h.n, rows, tiles.v, np);
  ForLanes(h.n, [&](auto io, size_t i) HWY_ATTR {
    const Vec one = hn::Set(f, 1.0f);
    Vec decay = one, product = one;
    for (size_t t = 0; t < kWkvChunk; ++t) {
      const size_t at = t * np + i;
      if (t == 0 || h.w_stride != 0) {
        decay = t < rows ? DecayOf(io.Load(h.w + (first + t) * h.w_stride + i)) : one;
      } else if (t == rows) {
        decay = one;
      }
      hn::StoreU(decay, f, tiles.d + at);
      hn::StoreU(product, f, tiles.before + at);
      hn::StoreU(hn::Mul(product, hn::LoadU(f, tiles.r + at)), f, tiles.r_scaled + at);
      product = hn::Mul(product, decay);
    }
    hn::StoreU(product, f, tiles.whole + i);
    product = one;
    for (size_t t = kWkvChunk; t-- > 0;) {
      const size_t at = t * np + i;
      hn::StoreU(product, f, tiles.after + at);
      hn::StoreU(hn::Mul(product, hn::LoadU(f, tiles.k + at)), f, tiles.k_scaled + at);
      product = hn::Mul(product, hn::LoadU(f, tiles.d + at));
    }
  });
}

/// A, whose upper triangle is zero.
HWY_INLINE void ChunkProduct(size_t rows, size_t np, const Wkv6Tiles& tiles) {
  const F32 f;
  std::memset(tiles.product, 0, kWkvChunk * kWkvChunk * sizeof(float));
  for (size_t s = 0; s < rows; ++s) {
    Vec bonus = hn::Zero(f);
    for (size_t i = 0; i < np; i += Lanes()) {
      const Vec key = hn::LoadU(f, tiles.k + s * np + i);
      const Vec now = hn::Mul(hn::LoadU(f, tiles.u + i), hn::LoadU(f, tiles.r + s * np + i));
      bonus = hn::MulAdd(now, key, bonus);
      hn::StoreU(key, f, tiles.decaying_key + i);
    }
    tiles.product[s * kWkvChunk + s] = Sum(bonus);
    for (size_t t = s + 1; t < rows; ++t) {
      Vec dot = hn::Zero(f);
      for (size_t i = 0; i < np; i += Lanes()) {
        const Vec key = hn::LoadU(f, tiles.decaying_key + i);
        dot = hn::MulAdd(key, hn::LoadU(f, tiles.r + t * np + i), dot);
        hn::StoreU(hn::Mul(key, hn::LoadU(f, tiles.d + t * np + i)), f, tiles.decaying_key + i);
      }
      tiles.product[t * kWkvChunk + s] = Sum(dot);
    }
  }
}

/// The bonus, which is the same for all chunks.
HWY_INLINE void LoadBonus(const Wkv6Head& h, const Wkv6Tiles& tiles) {
  ForLanes(h.n, [&](auto io, size_t i) HWY_ATTR { hn::StoreU(io.Load(h.u + i), F32(), tiles.u + i); });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();
#endif
