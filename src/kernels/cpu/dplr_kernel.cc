// The kernel of a state space whose matrix is diagonal plus low rank: K_l = C (A - q p^T)^l b, by S4's way
// (Gu et al., arXiv:2111.00396). The sum of all K_l z^l is C (I - z (A - q p^T))^{-1} b. With the inverse of
// I - z A, which is diagonal, and Woodbury's identity for the rest,
//
//     K(z) = k_cb - z k_cq k_pb / (1 + z k_pq)      k_xy(z) = sum_m x_m y_m / (1 - z a_m), a Cauchy sum
//
// and K_0 ... come back by an inverse Fourier transform of K(z) at points z on a circle. Of a pair of modes,
// each the other's conjugate, the two terms are one fraction with real coefficients:
//
//     (alpha - z beta) / (1 - tau z + nu z^2)    alpha = 2 Re x y, beta = 2 Re x y a*, tau = 2 Re a, nu =
//     |a|^2
//
// On n points of the unit circle K_{l+n}, K_{l+2n}, ... would fold onto K_l, which S4 takes out by powers of
// the matrix. Here the circle's radius r < 1 has r^n = 1e-12: what folds comes with that factor. K_l comes
// times r^l, at least 1e-6 as n is twice the length, and keeps ten digits in double. So C itself is the
// parameter, any length is exact to float32, and no z is -1, where S4's own fractions have a pole.
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "base/parallel.h"
#include "hwy/aligned_allocator.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/fft.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/dplr_kernel.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

#ifndef LINNET_KERNELS_CPU_DPLR_KERNEL_ONCE
#define LINNET_KERNELS_CPU_DPLR_KERNEL_ONCE
namespace linnet {

enum DplrSum : size_t { kCb, kCq, kPb, kPq, kDplrSums };

/// The fractions of a pair of modes, or their gradients.
struct DplrFractions {
  double tau, nu, alpha[kDplrSums], beta[kDplrSums];
};

/// The points z, as real and imaginary parts; their number is a multiple of the lanes of any vector.
struct DplrPoints {
  const double *re, *im;
  size_t count;
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

using F64 = hn::ScalableTag<double>;
using Wide = hn::Vec<F64>;

struct WideComplex {
  Wide re, im;
};

HWY_INLINE WideComplex operator*(const WideComplex& x, const WideComplex& y) {
  return {hn::NegMulAdd(x.im, y.im, hn::Mul(x.re, y.re)), hn::MulAdd(x.im, y.re, hn::Mul(x.re, y.im))};
}
HWY_INLINE WideComplex operator+(const WideComplex& x, const WideComplex& y) {
  return {hn::Add(x.re, y.re), hn::Add(x.im, y.im)};
}
HWY_INLINE WideComplex operator-(const WideComplex& x, const WideComplex& y) {
  return {hn::Sub(x.re, y.re), hn::Sub(x.im, y.im)};
}
/// sum + factor x
HWY_INLINE WideComplex MulAdd(double factor, const WideComplex& x, const WideComplex& sum) {
  const Wide f = hn::Set(F64(), factor);
  return {hn::MulAdd(f, x.re, sum.re), hn::MulAdd(f, x.im, sum.im)};
}
HWY_INLINE WideComplex Inverse(const WideComplex& x) {
  const Wide scale = hn::Div(hn::Set(F64(), 1.0), hn::MulAdd(x.re, x.re, hn::Mul(x.im, x.im)));
  return {hn::Mul(x.re, scale), hn::Neg(hn::Mul(x.im, scale))};
}
HWY_INLINE WideComplex One() { return {hn::Set(F64(), 1.0), hn::Zero(F64())}; }

/// 1 / (1 - tau z + nu z^2)
HWY_INLINE WideComplex InverseOfPair(const DplrFractions& pair, const WideComplex& z, const WideComplex& z2) {
  return Inverse(MulAdd(pair.nu, z2, MulAdd(-pair.tau, z, One())));
}

/// The Cauchy sums at some points, and 1 / (1 + z k_pq).
struct Sums {
  WideComplex k[kDplrSums], rest;
};

HWY_INLINE Sums CauchySums(const DplrFractions* pairs, size_t modes, const WideComplex& z,
                           const WideComplex& z2) {
  const Wide none = hn::Zero(F64());
  WideComplex alpha[kDplrSums], beta[kDplrSums];
  for (size_t xy = 0; xy < kDplrSums; ++xy) alpha[xy] = beta[xy] = {none, none};
  for (size_t m = 0; m < modes; ++m) {
    const WideComplex inverse = InverseOfPair(pairs[m], z, z2);
    for (size_t xy = 0; xy < kDplrSums; ++xy) {
      alpha[xy] = MulAdd(pairs[m].alpha[xy], inverse, alpha[xy]);
      beta[xy] = MulAdd(pairs[m].beta[xy], inverse, beta[xy]);
    }
  }
  Sums sums;
  for (size_t xy = 0; xy < kDplrSums; ++xy) sums.k[xy] = alpha[xy] - z * beta[xy];
  sums.rest = Inverse(One() + z * sums.k[kPq]);
  return sums;
}

/// spectrum: complex numbers, real part by imaginary part.
void DplrSpectrum(const DplrFractions* pairs, size_t modes, const DplrPoints& points, double* spectrum) {
  for (size_t j = 0; j < points.count; j += hn::Lanes(F64())) {
    const WideComplex z{hn::LoadU(F64(), points.re + j), hn::LoadU(F64(), points.im + j)};
    const Sums sums = CauchySums(pairs, modes, z, z * z);
    const WideComplex K = sums.k[kCb] - z * sums.k[kCq] * sums.k[kPb] * sums.rest;
    hn::StoreInterleaved2(K.re, K.im, F64(), spectrum + 2 * j);
  }
}

/// `g` are the conjugates of the gradients of the spectrum; `d` is set.
void DplrSpectrumBackward(const DplrFractions* pairs, size_t modes, const DplrPoints& points, const double* g,
                          DplrFractions* d) {
  constexpr size_t kNumbers = sizeof(DplrFractions) / sizeof(double);
  const size_t lanes = hn::Lanes(F64());
  std::vector<double> partial(modes * kNumbers * lanes);  // a lane's share of each gradient
  for (size_t j = 0; j < points.count; j += lanes) {
    const WideComplex z{hn::LoadU(F64(), points.re + j), hn::LoadU(F64(), points.im + j)}, z2 = z * z;
    const Sums sums = CauchySums(pairs, modes, z, z2);
    WideComplex g_k[kDplrSums], zg_k[kDplrSums];  // g times what K changes by with each sum
    hn::LoadInterleaved2(F64(), g + 2 * j, g_k[kCb].re, g_k[kCb].im);
    const Wide none = hn::Zero(F64());
    const WideComplex through = WideComplex{none, none} - z * sums.rest * g_k[kCb];
    g_k[kCq] = through * sums.k[kPb];
    g_k[kPb] = through * sums.k[kCq];
    g_k[kPq] = WideComplex{none, none} - g_k[kCq] * sums.k[kCq] * z * sums.rest;
    for (size_t xy = 0; xy < kDplrSums; ++xy) zg_k[xy] = z * g_k[xy];
    double* sum = partial.data();
    const auto add = [&](const Wide& value) HWY_ATTR {
      hn::StoreU(hn::Add(hn::LoadU(F64(), sum), value), F64(), sum);
      sum += lanes;
    };
    for (size_t m = 0; m < modes; ++m) {
      const DplrFractions& pair = pairs[m];
      const WideComplex inverse = InverseOfPair(pair, z, z2);
      WideComplex numerators{none, none};
      for (size_t xy = 0; xy < kDplrSums; ++xy) {
        numerators = MulAdd(pair.alpha[xy], g_k[xy], MulAdd(-pair.beta[xy], zg_k[xy], numerators));
      }
      const WideComplex h = numerators * inverse * inverse;  // minus the gradient of the denominator
      add((z * h).re);
      add(hn::Neg((z2 * h).re));
      for (size_t xy = 0; xy < kDplrSums; ++xy) add((g_k[xy] * inverse).re);
      for (size_t xy = 0; xy < kDplrSums; ++xy) add(hn::Neg((zg_k[xy] * inverse).re));
    }
  }
  auto* to = reinterpret_cast<double*>(d);
  for (size_t i = 0; i < modes * kNumbers; ++i) {
    to[i] = 0;
    for (size_t lane = 0; lane < lanes; ++lane) to[i] += partial[i * lanes + lane];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(DplrSpectrum);
HWY_EXPORT(DplrSpectrumBackward);

namespace {

using Number = std::complex<double>;

/// Of one feature: reads and writes mode m of a [2, M, H] tensor.
struct Feature {
  int64_t modes, width, h;
  Number At(const Tensor& x, int64_t m) const {
    return {x.data()[m * width + h], x.data()[(modes + m) * width + h]};
  }
  void Put(Number value, const Tensor& x, int64_t m) const {
    x.data()[m * width + h] = static_cast<float>(value.real());
    x.data()[(modes + m) * width + h] = static_cast<float>(value.imag());
  }
};

std::vector<DplrFractions> FractionsOf(const DplrInputs& d, const Feature& feature) {
  std::vector<DplrFractions> pairs(feature.modes);
  for (int64_t m = 0; m < feature.modes; ++m) {
    const Number a = feature.At(d.a, m), c = feature.At(d.c, m), b = feature.At(d.b, m),
                 p = feature.At(d.p, m), q = feature.At(d.q, m);
    const Number products[] = {c * b, c * q, p * b, p * q};
    DplrFractions& pair = pairs[m];
    pair.tau = 2 * a.real(), pair.nu = std::norm(a);
    for (size_t xy = 0; xy < kDplrSums; ++xy) {
      pair.alpha[xy] = 2 * products[xy].real();
      pair.beta[xy] = 2 * (products[xy] * std::conj(a)).real();
    }
  }
  return pairs;
}

/// From the gradients of the fractions those of the numbers that they are made of: for w = 2 Re x y it is
/// 2 y* dw in x.
void FractionsBackward(const DplrInputs& d, const Feature& feature,
                       const std::vector<DplrFractions>& gradients, const DplrInputs& out) {
  for (int64_t m = 0; m < feature.modes; ++m) {
    const DplrFractions& g = gradients[m];
    const Number a = feature.At(d.a, m);
    Number x[] = {feature.At(d.c, m), feature.At(d.p, m)}, y[] = {feature.At(d.b, m), feature.At(d.q, m)};
    Number dx[2], dy[2], da = 2 * g.tau + 2 * g.nu * a;
    for (size_t xy = 0; xy < kDplrSums; ++xy) {
      const size_t i = xy / 2, j = xy % 2;  // as DplrSum has them
      const Number w = 2 * g.alpha[xy] + 2 * g.beta[xy] * a;
      dx[i] += std::conj(y[j]) * w;
      dy[j] += std::conj(x[i]) * w;
      da += 2 * g.beta[xy] * x[i] * y[j];
    }
    feature.Put(da, out.a, m);
    feature.Put(dx[0], out.c, m), feature.Put(dx[1], out.p, m);
    feature.Put(dy[0], out.b, m), feature.Put(dy[1], out.q, m);
  }
}

/// The circle for kernels of a length.
struct Circle {
  int64_t n, points;                   // all, and those of the upper half, of which the others are conjugates
  std::vector<double> re, im, shrink;  // z; r^l

  explicit Circle(int64_t length) : n(FftSize(2 * length)), points(n / 2 + 1), shrink(length) {
    constexpr int64_t kMostLanes = 16;
    const int64_t room = (points + kMostLanes - 1) / kMostLanes * kMostLanes;
    re.resize(room), im.resize(room);
    const double rate = std::log(1e-12) / static_cast<double>(n);
    for (int64_t l = 0; l < length; ++l) shrink[l] = std::exp(rate * static_cast<double>(l));
    for (int64_t j = 0; j < points; ++j) {
      const Number z =
          std::polar(std::exp(rate), -2 * std::numbers::pi * static_cast<double>(j) / static_cast<double>(n));
      re[j] = z.real(), im[j] = z.imag();
    }
  }
  DplrPoints z() const { return {re.data(), im.data(), re.size()}; }
};

/// Calls body(feature, x, X) for each feature, in parallel, with memory for its kernel and spectrum.
template <class Body>
void ForFeatures(const DplrInputs& d, const Circle& circle, const Body& body) {
  const int64_t modes = d.a.dim(1), width = d.a.dim(2);
  ParallelFor(width, 1, [&](int64_t begin, int64_t end) {
    const auto x = hwy::AllocateAligned<double>(circle.n);
    const auto X = hwy::AllocateAligned<Number>(circle.re.size());
    for (int64_t h = begin; h < end; ++h) body(Feature{modes, width, h}, x.get(), X.get());
  });
}

}  // namespace

void CpuBackend::DplrKernel(const DplrInputs& d, const Tensor& K) {
  const int64_t length = K.dim(0);
  const Circle circle(length);
  ForFeatures(d, circle, [&](const Feature& feature, double* x, Number* X) {
    const std::vector<DplrFractions> pairs = FractionsOf(d, feature);
    HWY_DYNAMIC_DISPATCH(DplrSpectrum)
    (pairs.data(), pairs.size(), circle.z(), reinterpret_cast<double*>(X));
    InverseFft(circle.n, 1, X, x);
    for (int64_t l = 0; l < length; ++l) {
      K.data()[l * feature.width + feature.h] =
          static_cast<float>(x[l] / (circle.shrink[l] * static_cast<double>(circle.n)));
    }
  });
}

void CpuBackend::DplrKernelBackward(const DplrInputs& d, const Tensor& dK, const DplrInputs& gradients) {
  const int64_t length = dK.dim(0);
  const Circle circle(length);
  ForFeatures(d, circle, [&](const Feature& feature, double* x, Number* X) {
    for (int64_t l = 0; l < length; ++l) {
      x[l] = dK.data()[l * feature.width + feature.h] / (circle.shrink[l] * static_cast<double>(circle.n));
    }
    std::fill(x + length, x + circle.n, 0.0);
    std::fill(X, X + circle.re.size(), Number());
    Fft(circle.n, 1, x, X);
    // All points but the two real ones count for their conjugates, too.
    for (int64_t j = 0; j < circle.points; ++j) {
      X[j] = std::conj(X[j]) * (j == 0 || j == circle.points - 1 ? 1.0 : 2.0);
    }
    const std::vector<DplrFractions> pairs = FractionsOf(d, feature);
    std::vector<DplrFractions> changes(pairs.size());
    HWY_DYNAMIC_DISPATCH(DplrSpectrumBackward)
    (pairs.data(), pairs.size(), circle.z(), reinterpret_cast<const double*>(X), changes.data());
    FractionsBackward(d, feature, changes, gradients);
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
