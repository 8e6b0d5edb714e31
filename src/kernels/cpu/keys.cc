// RWKV-7's pieces between its matrix products: the keys of the delta rule, and the bonus and gate of its
// output.
#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/partial_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/keys.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_KEYS_ONCE
#define LINNET_KERNELS_CPU_KEYS_ONCE
namespace linnet {

/// The smallest norm that a key is divided by, as torch.nn.functional.normalize has it.
inline constexpr float kMinNorm = 1e-12f;

/// One head of one row; all pointers are at its first channel.
struct KeysHead {
  const float *k, *a, *k_k, *k_a;
  float *key, *removal, *replacement;
};
struct KeysHeadGradients {
  const float *dkey, *dremoval, *dreplacement;
  float *dk, *da, *dk_k, *dk_a;
};
struct BonusHead {
  const float *y, *r, *k, *v, *r_k, *g;
};
struct BonusHeadGradients {
  const float* dout;
  float *y, *r, *k, *v, *r_k, *g;
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// Returns 1 / max(norm, kMinNorm).
float MakeKeysHead(const KeysHead& h, size_t n) {
  Vec squares = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec u = hn::Mul(io.Load(h.k + i), io.Load(h.k_k + i));
    squares = hn::MulAdd(u, u, squares);
  });
  const float inverse = 1 / std::max(std::sqrt(Sum(squares)), kMinNorm);
  const Vec scale = hn::Set(F32(), inverse), one = hn::Set(F32(), 1.0f);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec k = io.Load(h.k + i), a = io.Load(h.a + i);
    const Vec kk = hn::Mul(hn::Mul(k, io.Load(h.k_k + i)), scale);
    io.Store(hn::Neg(kk), h.removal + i);
    io.Store(hn::Mul(kk, a), h.replacement + i);
    io.Store(hn::Mul(k, hn::MulAdd(hn::Sub(a, one), io.Load(h.k_a + i), one)), h.key + i);
  });
  return inverse;
}

void MakeKeysHeadBackward(const KeysHead& h, const KeysHeadGradients& d, float inverse, size_t n) {
  const Vec scale = hn::Set(F32(), inverse), one = hn::Set(F32(), 1.0f);
  Vec dots = hn::Zero(F32());
  const auto unit = [&](auto io, size_t i)
                        HWY_ATTR { return hn::Mul(hn::Mul(io.Load(h.k + i), io.Load(h.k_k + i)), scale); };
  const auto dunit = [&](auto io, size_t i) HWY_ATTR {
    return hn::MulSub(io.Load(d.dreplacement + i), io.Load(h.a + i), io.Load(d.dremoval + i));
  };
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { dots = hn::MulAdd(dunit(io, i), unit(io, i), dots); });
  // Where the norm was held at its minimum it is a constant, and passes no gradient on.
  const Vec dot = hn::Set(F32(), inverse < 1 / kMinNorm ? Sum(dots) : 0.0f);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec k = io.Load(h.k + i), a = io.Load(h.a + i), k_k = io.Load(h.k_k + i), k_a = io.Load(h.k_a + i);
    const Vec kk = unit(io, i), dkey = io.Load(d.dkey + i), a1 = hn::Sub(a, one);
    const Vec du = hn::Mul(scale, hn::NegMulAdd(kk, dot, dunit(io, i)));
    const Vec dkey_k = hn::Mul(dkey, k);
    io.Store(hn::MulAdd(du, k_k, hn::Mul(dkey, hn::MulAdd(a1, k_a, one))), d.dk + i);
    io.Store(hn::MulAdd(io.Load(d.dreplacement + i), kk, hn::Mul(dkey_k, k_a)), d.da + i);
    io.Store(hn::MulAdd(du, k, io.Load(d.dk_k + i)), d.dk_k + i);
    io.Store(hn::MulAdd(dkey_k, a1, io.Load(d.dk_a + i)), d.dk_a + i);
  });
}

HWY_INLINE float BonusOf(const BonusHead& h, size_t n) {
  Vec dots = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    dots = hn::MulAdd(hn::Mul(io.Load(h.r + i), io.Load(h.k + i)), io.Load(h.r_k + i), dots);
  });
  return Sum(dots);
}

void BonusGateHead(const BonusHead& h, size_t n, float* out) {
  const Vec bonus = hn::Set(F32(), BonusOf(h, n));
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    io.Store(hn::Mul(hn::MulAdd(io.Load(h.v + i), bonus, io.Load(h.y + i)), io.Load(h.g + i)), out + i);
  });
}

void BonusGateHeadBackward(const BonusHead& h, const BonusHeadGradients& d, size_t n) {
  const Vec bonus = hn::Set(F32(), BonusOf(h, n));
  Vec dots = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec dout = io.Load(d.dout + i), v = io.Load(h.v + i), inner = hn::Mul(dout, io.Load(h.g + i));
    io.Store(hn::Mul(dout, hn::MulAdd(v, bonus, io.Load(h.y + i))), d.g + i);
    io.Store(inner, d.y + i);
    io.Store(hn::Mul(inner, bonus), d.v + i);
    dots = hn::MulAdd(inner, v, dots);
  });
  const Vec dbonus = hn::Set(F32(), Sum(dots));
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec r = io.Load(h.r + i), k = io.Load(h.k + i), r_k = io.Load(h.r_k + i);
    const Vec dr = hn::Mul(dbonus, k);
    io.Store(hn::Mul(dr, r_k), d.r + i);
    io.Store(hn::Mul(hn::Mul(dbonus, r), r_k), d.k + i);
    io.Store(hn::MulAdd(dr, r, io.Load(d.r_k + i)), d.r_k + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(MakeKeysHead);
HWY_EXPORT(MakeKeysHeadBackward);
HWY_EXPORT(BonusGateHead);
HWY_EXPORT(BonusGateHeadBackward);

void CpuBackend::MakeKeys(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a, int heads,
                          const Tensor& key, const Tensor& removal, const Tensor& replacement,
                          const Tensor& inverse_norm) {
  const int64_t width = k.dim(1), n = width / heads;
  ParallelFor(k.dim(0), GrainRows(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      const int64_t at = i * n, channel = i % heads * n;
      const float inverse = HWY_DYNAMIC_DISPATCH(MakeKeysHead)(
          {k.data() + at, a.data() + at, k_k.data() + channel, k_a.data() + channel, key.data() + at,
           removal.data() + at, replacement.data() + at},
          n);
      if (inverse_norm) inverse_norm.data()[i] = inverse;
    }
  });
}

void CpuBackend::MakeKeysBackward(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a,
                                  const Tensor& inverse_norm, const Tensor& dkey, const Tensor& dremoval,
                                  const Tensor& dreplacement, const Tensor& dk, const Tensor& da,
                                  const Tensor& dk_k, const Tensor& dk_a) {
  const int64_t width = k.dim(1), rows = k.dim(0), heads = inverse_norm.dim(1), n = width / heads;
  PartialSums sums(rows, GrainRows(width), {dk_k, dk_a});
  ParallelParts(rows, sums.parts(), [&](int part, int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      const int64_t at = i * n, channel = i % heads * n;
      HWY_DYNAMIC_DISPATCH(MakeKeysHeadBackward)
      ({k.data() + at, a.data() + at, k_k.data() + channel, k_a.data() + channel, nullptr, nullptr, nullptr},
       {dkey.data() + at, dremoval.data() + at, dreplacement.data() + at, dk.data() + at, da.data() + at,
        sums.of(part, 0) + channel, sums.of(part, 1) + channel},
       inverse_norm.data()[i], n);
    }
  });
  sums.AddUp();
}

void CpuBackend::BonusGate(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v,
                           const Tensor& r_k, const Tensor& g, int heads, const Tensor& out) {
  const int64_t width = y.dim(1), n = width / heads;
  ParallelFor(y.dim(0), GrainRows(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      const int64_t at = i * n;
      HWY_DYNAMIC_DISPATCH(BonusGateHead)
      ({y.data() + at, r.data() + at, k.data() + at, v.data() + at, r_k.data() + i % heads * n,
        g.data() + at},
       n, out.data() + at);
    }
  });
}

void CpuBackend::BonusGateBackward(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v,
                                   const Tensor& r_k, const Tensor& g, int heads, const Tensor& dout,
                                   const BonusGateGradients& d) {
  const int64_t width = y.dim(1), rows = y.dim(0), n = width / heads;
  PartialSums sums(rows, GrainRows(width), {d.r_k});
  ParallelParts(rows, sums.parts(), [&](int part, int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      const int64_t at = i * n, channel = i % heads * n;
      HWY_DYNAMIC_DISPATCH(BonusGateHeadBackward)
      ({y.data() + at, r.data() + at, k.data() + at, v.data() + at, r_k.data() + channel, g.data() + at},
       {dout.data() + at, d.y.data() + at, d.r.data() + at, d.k.data() + at, d.v.data() + at,
        sums.of(part, 0) + channel, d.g.data() + at},
       n);
    }
  });
  sums.AddUp();
}

}  // namespace linnet
#endif  // HWY_ONCE
