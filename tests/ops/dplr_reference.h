// The slow twins of the ops on state spaces whose matrix is diagonal plus low rank. What has modes is [2, M,
// H]: real parts, then imaginary ones; `n` is m H + h.
#pragma once

#include "ops/reference.h"

namespace linnet::reference {

inline std::complex<double> At(const Values& x, size_t n) { return {x[n], x[x.size() / 2 + n]}; }

inline void Put(std::complex<double> z, Values& x, size_t n) {
  x[n] = z.real(), x[x.size() / 2 + n] = z.imag();
}

/// {a, p, q, b} of in = {re, im [M], P, B [2, M], step [H]}.
inline std::vector<Values> Bilinear(const std::vector<Values>& in) {
  const size_t modes = in[0].size(), width = in[4].size();
  std::vector<Values> out(4, Values(2 * modes * width));
  for (size_t h = 0; h < width; ++h) {
    const double delta = std::exp(in[4][h]) / 2;
    const auto D = [&](size_t m) {
      return 1.0 / (1.0 - delta * std::complex(-std::exp(in[0][m]), in[1][m]));
    };
    double kappa = 0, beta = 0;
    for (size_t m = 0; m < modes; ++m) {
      kappa += 2 * (std::conj(At(in[2], m)) * delta * D(m) * At(in[2], m)).real();
      beta += 2 * (std::conj(At(in[2], m)) * 2.0 * delta * D(m) * At(in[3], m)).real();
    }
    for (size_t m = 0; m < modes; ++m) {
      const std::complex<double> lambda(-std::exp(in[0][m]), in[1][m]), q = delta * D(m) * At(in[2], m);
      Put((1.0 + delta * lambda) * D(m), out[0], m * width + h);
      Put(2.0 / (1 + kappa) * std::conj(At(in[2], m)) * D(m), out[1], m * width + h);
      Put(q, out[2], m * width + h);
      Put(2 * delta * D(m) * At(in[3], m) - q * beta / (1 + kappa), out[3], m * width + h);
    }
  }
  return out;
}

/// {y, final state} of in = {u [n, H], a, p, q, b, c, state [slots, 2, M, H]}.
inline std::vector<Values> DplrRecurrence(const std::vector<Values>& in, const Sequences& sequences,
                                          size_t width) {
  const size_t planes = in[1].size() / 2;
  Values y(in[0].size()), last = in[6];
  for (int s = 0; s < sequences.sequences(); ++s) {
    double* x = &last[sequences.slot[s] * 2 * planes];
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t h = 0; h < width; ++h) {
        double low_rank = 0;
        for (size_t n = h; n < planes; n += width) {
          low_rank += 2 * (At(in[2], n) * std::complex(x[n], x[planes + n])).real();
        }
        for (size_t n = h; n < planes; n += width) {
          const std::complex<double> next = At(in[1], n) * std::complex(x[n], x[planes + n]) -
                                            At(in[3], n) * low_rank + At(in[4], n) * in[0][t * width + h];
          x[n] = next.real(), x[planes + n] = next.imag();
          y[t * width + h] += 2 * (At(in[5], n) * next).real();
        }
      }
    }
  }
  ClearUnused(last, sequences, 2 * planes);
  return {y, last};
}

/// What the recurrence of in = {a, p, q, b, c} says to a 1 and zeros behind it.
inline Values DplrKernel(std::vector<Values> in, size_t length, size_t width) {
  Values impulse(length * width);
  std::fill_n(impulse.begin(), width, 1.0);
  in.insert(in.begin(), impulse);
  in.push_back(Values(in[1].size()));
  Sequences one;
  one.start = {0, static_cast<int>(length)};
  one.slot = {0};
  return DplrRecurrence(in, one, width)[0];
}

inline Values LongConvolution(const Values& u, const Values& K, const Sequences& sequences, size_t width) {
  Values y(u.size());
  for (int s = 0; s < sequences.sequences(); ++s) {
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (int from = sequences.start[s]; from <= t; ++from) {
        for (size_t h = 0; h < width && (t - from) * width < K.size(); ++h) {
          y[t * width + h] += K[(t - from) * width + h] * u[from * width + h];
        }
      }
    }
  }
  return y;
}

}  // namespace linnet::reference
