// From a state space in continuous time whose matrix is diagonal plus low rank to one in steps, by the
// bilinear rule (backend.h has the formulas), forward and backward. A few thousand numbers a layer, so in
// double and one after the other.
//
// For an analytic w = f(z) the gradient of z, as a complex number, is f'(z)* times that of w, and that of z*
// the conjugate of z's.
#include <cmath>
#include <complex>
#include <vector>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

using Number = std::complex<double>;

Number At(const Tensor& x, int64_t n) { return {x.data()[n], x.data()[x.size() / 2 + n]}; }

void Put(Number z, const Tensor& x, int64_t n) {
  x.data()[n] = static_cast<float>(z.real());
  x.data()[x.size() / 2 + n] = static_cast<float>(z.imag());
}

/// A mode of one feature, with the names of the formulas.
struct Mode {
  Number lambda, P, B;
  double decay;         // -Re Lambda
  Number D, q, pushed;  // pushed: 2 delta D B
};

/// All modes of one feature.
struct Feature {
  double delta, s, beta;  // beta: 2 Re sum P* pushed
  std::vector<Mode> modes;

  Feature(const DplrParameters& p, int64_t h) : delta(std::exp(double{p.step.data()[h]}) / 2) {
    double kappa = 0;
    beta = 0;
    for (int64_t m = 0; m < p.re.size(); ++m) {
      const double decay = std::exp(double{p.re.data()[m]});
      Mode mode{{-decay, p.im.data()[m]}, At(p.P, m), At(p.B, m), decay, {}, {}, {}};
      mode.D = 1.0 / (1.0 - delta * mode.lambda);
      mode.q = delta * mode.D * mode.P;
      mode.pushed = 2 * delta * mode.D * mode.B;
      kappa += 2 * (std::conj(mode.P) * mode.q).real();
      beta += 2 * (std::conj(mode.P) * mode.pushed).real();
      modes.push_back(mode);
    }
    s = 1 / (1 + kappa);
  }
};

/// Gradients of what the modes have in common.
struct Shared {
  double s = 0, beta = 0, kappa = 0, delta = 0;
};

/// Adds to the gradients of P, B and Lambda, [re, im]; of those in `shared`, s, beta and kappa are known.
void ModeBackward(const Feature& f, const Mode& mode, Number g_a, Number g_p, Number g_q, Number g_b,
                  Number& g_P, Number& g_B, Number& g_lambda, Shared& shared) {
  Number g_D = 2.0 * g_a + 2 * f.s * mode.P * g_p;  // a = 2 D - 1
  g_q += -f.s * f.beta * g_b + 2 * shared.kappa * mode.P;
  const Number g_pushed = g_b + 2 * shared.beta * mode.P;
  g_P += 2 * f.s * mode.D * std::conj(g_p) + 2 * shared.beta * mode.pushed + 2 * shared.kappa * mode.q +
         std::conj(f.delta * mode.D) * g_q;
  g_B += std::conj(2 * f.delta * mode.D) * g_pushed;
  g_D += std::conj(f.delta * mode.P) * g_q + std::conj(2 * f.delta * mode.B) * g_pushed;
  const Number g_x = std::conj(mode.D * mode.D) * g_D;  // D = 1 / (1 - x), x = delta Lambda
  g_lambda += f.delta * g_x;
  shared.delta += (std::conj(mode.D * mode.P) * g_q).real() +
                  (std::conj(2.0 * mode.D * mode.B) * g_pushed).real() +
                  (std::conj(mode.lambda) * g_x).real();
}

void AddAt(const Tensor& sum, int64_t n, double value) { sum.data()[n] += static_cast<float>(value); }

}  // namespace

void CpuBackend::Bilinear(const DplrParameters& p, const DplrInputs& d) {
  const int64_t width = p.step.size(), modes = p.re.size();
  ParallelFor(width, std::max<int64_t>(1, kGrainElements / 64 / modes), [&](int64_t begin, int64_t end) {
    for (int64_t h = begin; h < end; ++h) {
      const Feature f(p, h);
      for (int64_t m = 0; m < modes; ++m) {
        const Mode& mode = f.modes[m];
        const int64_t n = m * width + h;
        Put(2.0 * mode.D - 1.0, d.a, n);
        Put(2 * f.s * std::conj(mode.P) * mode.D, d.p, n);
        Put(mode.q, d.q, n);
        Put(mode.pushed - f.s * f.beta * mode.q, d.b, n);
      }
    }
  });
}

void CpuBackend::BilinearBackward(const DplrParameters& p, const DplrInputs& d, const DplrParameters& out) {
  const int64_t width = p.step.size(), modes = p.re.size();
  std::vector<Number> g_P(modes), g_B(modes), g_lambda(modes);
  for (int64_t h = 0; h < width; ++h) {
    const Feature f(p, h);
    Shared shared;
    for (int64_t m = 0; m < modes; ++m) {
      const Mode& mode = f.modes[m];
      const Number g_p = At(d.p, m * width + h);
      const double along = (std::conj(mode.q) * At(d.b, m * width + h)).real();
      shared.s += 2 * (mode.P * std::conj(mode.D) * g_p).real() - f.beta * along;
      shared.beta -= f.s * along;
    }
    shared.kappa = -f.s * f.s * shared.s;
    for (int64_t m = 0; m < modes; ++m) {
      const int64_t n = m * width + h;
      ModeBackward(f, f.modes[m], At(d.a, n), At(d.p, n), At(d.q, n), At(d.b, n), g_P[m], g_B[m], g_lambda[m],
                   shared);
    }
    AddAt(out.step, h, f.delta * shared.delta);
  }
  for (int64_t m = 0; m < modes; ++m) {
    AddAt(out.re, m, -std::exp(double{p.re.data()[m]}) * g_lambda[m].real());
    AddAt(out.im, m, g_lambda[m].imag());
    AddAt(out.P, m, g_P[m].real()), AddAt(out.P, modes + m, g_P[m].imag());
    AddAt(out.B, m, g_B[m].real()), AddAt(out.B, modes + m, g_B[m].imag());
  }
}

}  // namespace linnet
