// Activations, sums and the like.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/partial_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

void AddToLoop(const float* x, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(hn::Add(io.Load(y + i), io.Load(x + i)), y + i); });
}

void ScaleLoop(float factor, float* y, size_t n) {
  const Vec f = hn::Set(F32(), factor);
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(hn::Mul(f, io.Load(y + i)), y + i); });
}

void AddLoop(const float* a, const float* b, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(hn::Add(io.Load(a + i), io.Load(b + i)), y + i); });
}

void LerpLoop(const float* a, const float* b, const float* m, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec av = io.Load(a + i);
    io.Store(hn::MulAdd(hn::Sub(io.Load(b + i), av), io.Load(m + i), av), y + i);
  });
}

void LerpBackwardLoop(const float* a, const float* b, const float* m, const float* dy, float* da, float* db,
                      float* dm, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec g = io.Load(dy + i), gm = hn::Mul(g, io.Load(m + i));
    io.Store(hn::Sub(g, gm), da + i);
    io.Store(gm, db + i);
    io.Store(hn::Mul(g, hn::Sub(io.Load(b + i), io.Load(a + i))), dm + i);
  });
}

void MulLoop(const float* x, const float* w, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR { io.Store(hn::Mul(io.Load(x + i), io.Load(w + i)), y + i); });
}

/// dx = w dy, dw += x dy
void MulBackwardLoop(const float* x, const float* w, const float* dy, float* dx, float* dw, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec g = io.Load(dy + i);
    io.Store(hn::Mul(io.Load(w + i), g), dx + i);
    io.Store(hn::MulAdd(io.Load(x + i), g, io.Load(dw + i)), dw + i);
  });
}

/// The same of n complex numbers.
void ComplexMulLoop(const float* x, const float* w, float* y, size_t n) {
  const Vec none = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    StoreComplex(io, MulAdd(LoadComplex(io, x + i, n), LoadComplex(io, w + i, n), {none, none}), y + i, n);
  });
}

void ComplexMulBackwardLoop(const float* x, const float* w, const float* dy, float* dx, float* dw, size_t n) {
  const Vec none = hn::Zero(F32());
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Complex g = LoadComplex(io, dy + i, n);
    StoreComplex(io, MulAdd(Conjugate(LoadComplex(io, w + i, n)), g, {none, none}), dx + i, n);
    StoreComplex(io, MulAdd(Conjugate(LoadComplex(io, x + i, n)), g, LoadComplex(io, dw + i, n)), dw + i, n);
  });
}

HWY_INLINE Vec Activate(Activation act, Vec x) {
  switch (act) {
    case Activation::kTanh:
      return Tanh(x);
    case Activation::kSigmoid:
      return Sigmoid(x);
    case Activation::kRelu2: {
      const Vec positive = hn::Max(hn::Zero(F32()), x);
      return hn::Mul(positive, positive);
    }
    case Activation::kExp:
      return hn::Exp(F32(), x);
    case Activation::kEluPlusOne: {
      const Vec zero = hn::Zero(F32());
      return hn::Add(hn::Max(zero, x), hn::Exp(F32(), hn::Min(zero, x)));
    }
    case Activation::kNone:
      break;
  }
  return x;
}

/// `bias` may be null.
void BiasActivateRow(const float* bias, Activation act, float* y, size_t n) {
  ForLanes(n, [&](auto io, size_t i) HWY_ATTR {
    const Vec x = bias ? hn::Add(io.Load(y + i), io.Load(bias + i)) : io.Load(y + i);
    io.Store(Activate(act, x), y + i);
  });
}

/// act'(z) in terms of y = act(z).
HWY_INLINE Vec Slope(Activation act, Vec y) {
  const Vec one = hn::Set(F32(), 1.0f);
  switch (act) {
    case Activation::kTanh:
      return hn::NegMulAdd(y, y, one);
    case Activation::kSigmoid:
      return hn::Mul(y, hn::Sub(one, y));
    case Activation::kRelu2: {
      const Vec root = hn::Sqrt(y);
      return hn::Add(root, root);
    }
    case Activation::kExp:
      return y;
    case Activation::kEluPlusOne:
      return hn::Min(one, y);
    case Activation::kNone:
      break;
  }
  return one;
}

void ActivateBackwardLoop(const float* y, const float* dy, Activation act, float* dz, size_t n) {
  ForLanes(n, [&](auto io, size_t i)
                  HWY_ATTR { io.Store(hn::Mul(io.Load(dy + i), Slope(act, io.Load(y + i))), dz + i); });
}

void SumRowsLoop(const float* x, size_t rows, size_t width, float* sum) {
  for (size_t r = 0; r < rows; ++r) AddToLoop(x + r * width, sum, width);
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(AddToLoop);
HWY_EXPORT(ScaleLoop);
HWY_EXPORT(AddLoop);
HWY_EXPORT(LerpLoop);
HWY_EXPORT(LerpBackwardLoop);
HWY_EXPORT(MulLoop);
HWY_EXPORT(MulBackwardLoop);
HWY_EXPORT(ComplexMulLoop);
HWY_EXPORT(ComplexMulBackwardLoop);
HWY_EXPORT(BiasActivateRow);
HWY_EXPORT(ActivateBackwardLoop);
HWY_EXPORT(SumRowsLoop);

void CpuBackend::AddTo(const Tensor& x, const Tensor& y) {
  ParallelFor(y.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AddToLoop)(x.data() + begin, y.data() + begin, end - begin);
  });
}

void CpuBackend::Scale(float factor, const Tensor& y) {
  ParallelFor(y.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ScaleLoop)(factor, y.data() + begin, end - begin);
  });
}

void CpuBackend::ScatterAdd(const Tensor& x, std::span<const int> rows, const Tensor& y) {
  const int64_t width = y.dim(1), n = static_cast<int64_t>(rows.size());
  // Each thread owns a range of columns, so rows that repeat are added in order whatever the number of
  // threads.
  ParallelParts(width, Parts(n * width, 4 * kGrainElements), [&](int, int64_t begin, int64_t end) {
    for (int64_t i = 0; i < n; ++i) {
      HWY_DYNAMIC_DISPATCH(AddToLoop)
      (x.data() + i * width + begin, y.data() + rows[i] * width + begin, end - begin);
    }
  });
}

void CpuBackend::BiasActivate(const Tensor& bias, Activation act, const Tensor& y) {
  const int64_t width = y.dim(-1), rows = y.size() / width;
  const float* b = bias ? bias.data() : nullptr;
  ParallelFor(rows, GrainRows(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      HWY_DYNAMIC_DISPATCH(BiasActivateRow)(b, act, y.data() + i * width, width);
  });
}

void CpuBackend::ActivateBackward(const Tensor& y, const Tensor& dy, Activation act, const Tensor& dz) {
  ParallelFor(y.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ActivateBackwardLoop)
    (y.data() + begin, dy.data() + begin, act, dz.data() + begin, end - begin);
  });
}

void CpuBackend::SumRows(const Tensor& x, const Tensor& sum) {
  const int64_t width = sum.size(), rows = x.size() / width;
  PartialSums sums(rows, GrainRows(width), {sum});
  ParallelParts(rows, sums.parts(), [&](int part, int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SumRowsLoop)(x.data() + begin * width, end - begin, width, sums.of(part, 0));
  });
  sums.AddUp();
}

void CpuBackend::Add(const Tensor& a, const Tensor& b, const Tensor& y) {
  ParallelFor(y.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(AddLoop)(a.data() + begin, b.data() + begin, y.data() + begin, end - begin);
  });
}

void CpuBackend::ScaleColumns(const Tensor& x, const Tensor& w, NumberKind kind, const Tensor& y) {
  const int64_t width = x.dim(1);
  ParallelFor(x.dim(0), GrainRows(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * width; i < end * width; i += width) {
      if (kind == NumberKind::kComplex) {
        HWY_DYNAMIC_DISPATCH(ComplexMulLoop)(x.data() + i, w.data(), y.data() + i, width / 2);
      } else {
        HWY_DYNAMIC_DISPATCH(MulLoop)(x.data() + i, w.data(), y.data() + i, width);
      }
    }
  });
}

void CpuBackend::ScaleColumnsBackward(const Tensor& x, const Tensor& w, NumberKind kind, const Tensor& dy,
                                      const Tensor& dx, const Tensor& dw) {
  const int64_t width = x.dim(1);
  PartialSums sums(x.dim(0), GrainRows(width), {dw});
  ParallelParts(x.dim(0), sums.parts(), [&](int part, int64_t begin, int64_t end) {
    float* sum = sums.of(part, 0);
    for (int64_t i = begin * width; i < end * width; i += width) {
      const float *from = x.data() + i, *arrived = dy.data() + i;
      if (kind == NumberKind::kComplex) {
        HWY_DYNAMIC_DISPATCH(ComplexMulBackwardLoop)(from, w.data(), arrived, dx.data() + i, sum, width / 2);
      } else {
        HWY_DYNAMIC_DISPATCH(MulBackwardLoop)(from, w.data(), arrived, dx.data() + i, sum, width);
      }
    }
  });
  sums.AddUp();
}

void CpuBackend::Lerp(const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) {
  ParallelFor(y.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(LerpLoop)
    (a.data() + begin, b.data() + begin, m.data() + begin, y.data() + begin, end - begin);
  });
}

void CpuBackend::LerpBackward(const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& dy,
                              const Tensor& da, const Tensor& db, const Tensor& dm) {
  ParallelFor(dy.size(), kGrainElements, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(LerpBackwardLoop)
    (a.data() + begin, b.data() + begin, m.data() + begin, dy.data() + begin, da.data() + begin,
     db.data() + begin, dm.data() + begin, end - begin);
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
