// What the CPU kernels need beyond Highway: loops with tails, conversions of 16-bit floats, sums of lanes,
// sigmoid.
//
// Included once per target by files that use hwy/foreach_target.h, hence the toggled guard. Lambdas handed to
// ForLanes carry HWY_ATTR, or they would be compiled for the baseline CPU and not inlined.
#include <cstring>

#include "tensor/dtype.h"

#if defined(LINNET_KERNELS_CPU_SIMD_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LINNET_KERNELS_CPU_SIMD_H_
#undef LINNET_KERNELS_CPU_SIMD_H_
#else
#define LINNET_KERNELS_CPU_SIMD_H_
#endif

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using Vec = hn::Vec<F32>;
using U16Half = hn::Rebind<uint16_t, F32>;
using U32 = hn::Rebind<uint32_t, F32>;

HWY_INLINE size_t Lanes() { return hn::Lanes(F32()); }

HWY_INLINE Vec FromBf16(hn::Vec<U16Half> bits) {
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), bits)));
}

/// Round to nearest, ties to even, like ToBf16. Highway 1.0's own DemoteTo truncates.
HWY_INLINE hn::Vec<U16Half> RoundToBf16(Vec v) {
  const U32 u32;
  const auto bits = hn::BitCast(u32, v);
  const auto lsb = hn::And(hn::ShiftRight<16>(bits), hn::Set(u32, 1));
  auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(lsb, hn::Set(u32, 0x7FFF))));
  const auto quiet_nan = hn::Or(hn::ShiftRight<16>(bits), hn::Set(u32, 0x40));
  rounded = hn::IfThenElse(hn::RebindMask(u32, hn::IsNaN(v)), quiet_nan, rounded);
  return hn::DemoteTo(U16Half(),
                      hn::BitCast(hn::Rebind<int32_t, F32>(), rounded));  // 0..65535: saturates nothing
}

/// Loads and stores of whole vectors.
struct WholeVector {
  HWY_INLINE Vec Load(const float* p) const { return hn::LoadU(F32(), p); }
  HWY_INLINE Vec Load(const Bf16* p) const {
    return FromBf16(hn::LoadU(U16Half(), reinterpret_cast<const uint16_t*>(p)));
  }
  HWY_INLINE void Store(Vec v, float* p) const { hn::StoreU(v, F32(), p); }
  HWY_INLINE void Store(Vec v, Bf16* p) const {
    hn::StoreU(RoundToBf16(v), U16Half(), reinterpret_cast<uint16_t*>(p));
  }
  HWY_INLINE Vec ZeroRest(Vec v) const { return v; }
};

/// The same for the last `count` elements of a row: nothing beyond them is touched, and lanes beyond them are
/// zero.
struct PartVector {
  size_t count;
#if HWY_TARGET <= HWY_AVX2 && \
    HWY_ARCH_X86  // masked instructions, for which what is masked out need not exist
  HWY_INLINE Vec Load(const float* p) const { return hn::MaskedLoad(hn::FirstN(F32(), count), F32(), p); }
  HWY_INLINE void Store(Vec v, float* p) const { hn::BlendedStore(v, hn::FirstN(F32(), count), F32(), p); }
#endif
  template <class T>
  HWY_INLINE Vec Load(const T* p) const {
    HWY_ALIGN T buffer[HWY_MAX_BYTES / 4] = {};
    std::memcpy(buffer, p, count * sizeof(T));
    return WholeVector().Load(buffer);
  }
  template <class T>
  HWY_INLINE void Store(Vec v, T* p) const {
    HWY_ALIGN T buffer[HWY_MAX_BYTES / 4];
    WholeVector().Store(v, buffer);
    std::memcpy(p, buffer, count * sizeof(T));
  }
  /// For sums over lanes of what is not zero in the lanes beyond the row.
  HWY_INLINE Vec ZeroRest(Vec v) const { return hn::IfThenElseZero(hn::FirstN(F32(), count), v); }
};

/// Calls body(io, i) for i = 0, lanes, 2 lanes, ... < n, where io loads and stores as many elements as are
/// left.
template <class Body>
HWY_INLINE void ForLanes(size_t n, const Body& body) {
  const size_t lanes = Lanes();
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) body(WholeVector(), i);
  if (i < n) body(PartVector{n - i}, i);
}

HWY_INLINE float Sum(Vec v) { return hn::GetLane(hn::SumOfLanes(F32(), v)); }

/// 1 / (1 + e^-x). Beyond |x| = 80 float32 knows no difference from 0 and 1 that matters.
HWY_INLINE Vec Sigmoid(Vec x) {
  const F32 d;
  const Vec one = hn::Set(d, 1.0f), bound = hn::Set(d, 80.0f);
  const Vec clamped = hn::Max(hn::Neg(bound), hn::Min(bound, x));  // in this order a NaN stays one
  return hn::Div(one, hn::Add(one, hn::Exp(d, hn::Neg(clamped))));
}

HWY_INLINE Vec Tanh(Vec x) {  // 2 sigmoid(2x) - 1 loses the digits of a small x; Highway's keeps them
  return hn::Tanh(F32(), x);
}

/// A complex number in each lane; in memory, imaginary parts lie `imaginary` elements behind the real ones.
struct Complex {
  Vec re, im;
};

template <class Io>
HWY_INLINE Complex LoadComplex(Io io, const float* p, size_t imaginary) {
  return {io.Load(p), io.Load(p + imaginary)};
}

template <class Io>
HWY_INLINE void StoreComplex(Io io, const Complex& z, float* p, size_t imaginary) {
  io.Store(z.re, p);
  io.Store(z.im, p + imaginary);
}

/// x y + z
HWY_INLINE Complex MulAdd(const Complex& x, const Complex& y, const Complex& z) {
  return {hn::NegMulAdd(x.im, y.im, hn::MulAdd(x.re, y.re, z.re)),
          hn::MulAdd(x.im, y.re, hn::MulAdd(x.re, y.im, z.im))};
}

HWY_INLINE Complex Conjugate(const Complex& z) { return {z.re, hn::Neg(z.im)}; }

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();
#endif
