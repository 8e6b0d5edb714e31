// Eigenvalues of diagonal state spaces as functions of their parameters, forward and backward. A handful of
// numbers a layer, so in double and one after the other.
//
// For an analytic w = f(z) the gradient of z, as a complex number, is f'(z)* times that of w.
#include <cmath>
#include <complex>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

using Number = std::complex<double>;

/// What a pair of parameters and its step stand for; a = e^z.
struct Mode {
  Number lambda, z;  // lambda: only of a zero-order hold
  Number a, gain;
  double decay, step;  // e^re and e^step, where they are used
};

Mode ModeOf(const EigenInputs& p, EigenKind kind, int64_t n) {
  const double re = p.re.data()[n], im = p.im ? p.im.data()[n] : 0.0;
  Mode m{0, 0, 0, 1, std::exp(re), p.step ? std::exp(double{p.step.data()[n % p.step.size()]}) : 1.0};
  switch (kind) {
    case EigenKind::kExp:
      m.z = {-re, im};
      break;
    case EigenKind::kStable:
      m.z = {-m.decay, std::exp(im)};
      break;
    case EigenKind::kZeroOrderHold:
      m.lambda = {-m.decay, im};
      m.z = m.step * m.lambda;
      break;
  }
  m.a = std::exp(m.z);
  m.gain = kind == EigenKind::kZeroOrderHold ? (m.a - 1.0) / m.lambda : m.step;
  return m;
}

Number At(const Tensor& x, int64_t n, int64_t count) { return {x.data()[n], x.data()[count + n]}; }

void Put(Number z, const Tensor& x, int64_t n, int64_t count) {
  x.data()[n] = static_cast<float>(z.real());
  x.data()[count + n] = static_cast<float>(z.imag());
}

void AddAt(double value, const Tensor& sum, int64_t n) {
  if (sum) sum.data()[n] += static_cast<float>(value);
}

}  // namespace

void CpuBackend::Eigenvalues(const EigenInputs& p, EigenKind kind, const Tensor& a, const Tensor& gain) {
  const int64_t count = p.re.size();
  ParallelFor(count, kGrainElements / 64, [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const Mode m = ModeOf(p, kind, n);
      Put(m.a, a, n, count);
      Put(m.gain, gain, n, count);
    }
  });
}

void CpuBackend::EigenvaluesBackward(const EigenInputs& p, EigenKind kind, const Tensor& da,
                                     const Tensor& dgain, const EigenInputs& d) {
  const int64_t count = p.re.size();
  for (int64_t n = 0; n < count; ++n) {
    const Mode m = ModeOf(p, kind, n);
    const Number g_a = At(da, n, count), g_gain = At(dgain, n, count);
    const int64_t step = p.step ? n % p.step.size() : 0;
    if (kind == EigenKind::kZeroOrderHold) {
      const Number g_z = std::conj(m.a) * (g_a + std::conj(1.0 / m.lambda) * g_gain);
      const Number g_lambda = m.step * g_z - std::conj(m.gain / m.lambda) * g_gain;
      AddAt(-m.decay * g_lambda.real(), d.re, n);
      AddAt(g_lambda.imag(), d.im, n);
      AddAt((std::conj(m.z) * g_z).real(), d.step, step);
      continue;
    }
    const Number g = std::conj(m.a) * g_a;
    const bool stable = kind == EigenKind::kStable;
    AddAt((stable ? -m.decay : -1.0) * g.real(), d.re, n);
    AddAt((stable ? m.z.imag() : 1.0) * g.imag(), d.im, n);
    AddAt(m.step * g_gain.real(), d.step, step);
  }
}

}  // namespace linnet
