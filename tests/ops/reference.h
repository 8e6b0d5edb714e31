// The slow twins: each op in about ten lines of plain loops on doubles. They define what the ops mean.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <vector>

#include "kernels/backend.h"

namespace linnet::reference {

using Values = std::vector<double>;

inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// x [n, in], weight [out, in], bias [out] or empty.
inline Values Linear(const Values& x, const Values& weight, const Values& bias, size_t in, size_t out) {
  const size_t n = x.size() / in;
  Values y(n * out);
  for (size_t i = 0; i < n; ++i) {
    for (size_t o = 0; o < out; ++o) {
      double sum = bias.empty() ? 0 : bias[o];
      for (size_t k = 0; k < in; ++k) sum += x[i * in + k] * weight[o * in + k];
      y[i * out + o] = sum;
    }
  }
  return y;
}

inline Values Transposed(const Values& x, size_t rows, size_t columns) {
  Values y(x.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) y[j * rows + i] = x[i * columns + j];
  }
  return y;
}

inline Values Gate(const Values& x, const Values& z, GateKind kind) {
  Values y = x;
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] *= (kind == GateKind::kPlain ? 1 : Sigmoid(z[i])) * (kind == GateKind::kSigmoid ? 1 : z[i]);
  }
  return y;
}

/// Row n of `matrices` is a matrix [in, out].
inline Values RowMatMul(const Values& x, const Values& matrices, size_t in, size_t out) {
  Values y(x.size() / in * out);
  for (size_t i = 0; i < matrices.size(); ++i) y[i / (in * out) * out + i % out] += x[i / out] * matrices[i];
  return y;
}

inline Values GroupNorm(const Values& x, const Values& w, const Values& b, size_t groups, double eps) {
  const size_t width = w.size(), size = width / groups;
  Values y(x.size());
  for (size_t at = 0; at < x.size(); at += size) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < size; ++i) mean += x[at + i] / static_cast<double>(size);
    for (size_t i = 0; i < size; ++i)
      variance += (x[at + i] - mean) * (x[at + i] - mean) / static_cast<double>(size);
    for (size_t i = 0; i < size; ++i) {
      const size_t c = (at + i) % width;
      y[at + i] = (x[at + i] - mean) / std::sqrt(variance + eps) * w[c] + b[c];
    }
  }
  return y;
}

/// What the sequences leave: slots that none of them uses are zero.
inline void ClearUnused(Values& state, const Sequences& sequences, size_t slot_size) {
  for (size_t slot = 0; slot < state.size() / slot_size; ++slot) {
    const bool used = std::count(sequences.slot.begin(), sequences.slot.end(), static_cast<int>(slot)) > 0;
    if (!used) std::fill_n(state.begin() + slot * slot_size, slot_size, 0.0);
  }
}

/// The outputs of all mixes one after the other, then the final state. A mix is the share of the row before,
/// or of the present one if `of_now`; [width], or of each row.
inline std::vector<Values> ShiftMix(const Values& x, const std::vector<Values>& mixes, const Values& state,
                                    const Sequences& sequences, bool of_now, size_t width) {
  Values last = state;
  std::vector<Values> ys(mixes.size(), Values(x.size()));
  for (int s = 0; s < sequences.sequences(); ++s) {
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t c = 0; c < width; ++c) {
        double& previous = last[sequences.slot[s] * width + c];
        const double now = x[t * width + c];
        for (size_t m = 0; m < mixes.size(); ++m) {
          const double mix = mixes[m][(t * width + c) % mixes[m].size()];
          ys[m][t * width + c] = of_now ? now * mix + previous * (1 - mix) : now + (previous - now) * mix;
        }
        previous = now;
      }
    }
  }
  ClearUnused(last, sequences, width);
  ys.push_back(last);
  return ys;
}

/// The row before, and the last one.
inline std::vector<Values> Previous(const Values& x, const Values& state, const Sequences& sequences,
                                    size_t width) {
  std::vector<Values> out = ShiftMix(x, {Values(width, 0.0)}, state, sequences, true, width);
  return {out[0], out[1]};
}

/// a [n, width] or [width], b [n, width]. Returns {h, final state}.
inline std::vector<Values> Scan(const Values& a, const Values& b, const Values& state, ScanKind kind,
                                const Sequences& sequences, size_t width) {
  Values h(b.size()), last = state;
  for (int s = 0; s < sequences.sequences(); ++s) {
    double* p = &last[sequences.slot[s] * width];
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      const double *f = &a[t * width % a.size()], *x = &b[t * width];
      const size_t half = width / 2;
      for (size_t c = 0; c < (kind == ScanKind::kComplex ? half : width); ++c) {
        if (kind == ScanKind::kSum) p[c] = f[c] * p[c] + x[c];
        if (kind == ScanKind::kAverage) p[c] = f[c] * p[c] + (1 - f[c]) * x[c];
        if (kind == ScanKind::kComplex) {
          const std::complex<double> z = std::complex(f[c], f[half + c]) * std::complex(p[c], p[half + c]) +
                                         std::complex(x[c], x[half + c]);
          p[c] = z.real(), p[half + c] = z.imag();
        }
      }
      std::copy_n(p, width, &h[t * width]);
    }
  }
  ClearUnused(last, sequences, width);
  return {h, last};
}

/// in = {x, z_f, z_r, skip, v_f, v_r}. Returns {h, final state}.
inline std::vector<Values> Sru(const std::vector<Values>& in, const Values& state,
                               const Sequences& sequences) {
  const auto& [x, z_f, z_r, skip, v_f, v_r] = std::tie(in[0], in[1], in[2], in[3], in[4], in[5]);
  const size_t width = v_f.size();
  Values h(x.size()), last = state;
  for (int s = 0; s < sequences.sequences(); ++s) {
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t i = 0; i < width; ++i) {
        double& c = last[sequences.slot[s] * width + i];
        const size_t at = t * width + i;
        const double f = Sigmoid(z_f[at] + v_f[i] * c), r = Sigmoid(z_r[at] + v_r[i] * c);
        c = f * c + (1 - f) * x[at];
        h[at] = r * c + (1 - r) * skip[at];
      }
    }
  }
  ClearUnused(last, sequences, width);
  return {h, last};
}

/// in = {u [n, width], a, c [2, modes, width], state [slots, 2, modes, width]}. Returns {y, final state}.
inline std::vector<Values> StateSpace(const std::vector<Values>& in, const Sequences& sequences,
                                      size_t width) {
  const auto& [u, a, c] = std::tie(in[0], in[1], in[2]);
  const size_t planes = a.size() / 2;
  Values y(u.size()), last = in[3];
  for (int s = 0; s < sequences.sequences(); ++s) {
    double* x = &last[sequences.slot[s] * 2 * planes];
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t m = 0; m < planes; ++m) {
        const std::complex<double> next =
            std::complex(a[m], a[planes + m]) * std::complex(x[m], x[planes + m]) + u[t * width + m % width];
        x[m] = next.real(), x[planes + m] = next.imag();
        y[t * width + m % width] += 2 * (std::complex(c[m], c[planes + m]) * next).real();
      }
    }
  }
  ClearUnused(last, sequences, 2 * planes);
  return {y, last};
}

/// {a, gain}, [2, P] each; a step empty or repeated, an empty im zero.
inline std::vector<Values> Eigenvalues(const Values& re, const Values& im, const Values& step,
                                       EigenKind kind) {
  std::vector<Values> out(2, Values(2 * re.size()));
  for (size_t n = 0; n < re.size(); ++n) {
    const double i = im.empty() ? 0 : im[n], d = step.empty() ? 1 : std::exp(step[n % step.size()]);
    const std::complex<double> lambda(-std::exp(re[n]), i);
    const std::complex<double> z = kind == EigenKind::kExp      ? std::complex(-re[n], i)
                                   : kind == EigenKind::kStable ? std::complex(-std::exp(re[n]), std::exp(i))
                                                                : d * lambda;
    const std::complex<double> a = std::exp(z);
    const std::complex<double> gain = kind == EigenKind::kZeroOrderHold ? (a - 1.0) / lambda : d;
    out[0][n] = a.real(), out[0][re.size() + n] = a.imag();
    out[1][n] = gain.real(), out[1][re.size() + n] = gain.imag();
  }
  return out;
}

/// h = tanh(W h + b) or W h + b; with z, g h + (1 - g) z with g = sigmoid(W h + b). Returns {h, final state}.
inline std::vector<Values> DenseRecurrence(const Values& b, const Values& z, const Values& w,
                                           const Values& state, bool squashed, const Sequences& sequences,
                                           size_t width) {
  Values h(b.size()), last = state;
  for (int s = 0; s < sequences.sequences(); ++s) {
    double* p = &last[sequences.slot[s] * width];
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      const Values sum =
          Linear(Values(p, p + width), w, Values(&b[t * width], &b[t * width] + width), width, width);
      for (size_t c = 0; c < width; ++c) {
        const double gate = Sigmoid(sum[c]);
        p[c] = !z.empty() ? gate * p[c] + (1 - gate) * z[t * width + c]
               : squashed ? std::tanh(sum[c])
                          : sum[c];
      }
      std::copy_n(p, width, &h[t * width]);
    }
  }
  ClearUnused(last, sequences, width);
  return {h, last};
}

/// in = {k, v, w, u}; state [slots, 3, width] is a, b, p. Returns {y, final state}.
inline std::vector<Values> Wkv4(const std::vector<Values>& in, const Values& state,
                                const Sequences& sequences) {
  const size_t width = in[2].size();
  Values y(in[0].size()), all = state;
  for (int s = 0; s < sequences.sequences(); ++s) {
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t c = 0; c < width; ++c) {
        double *a = &all[sequences.slot[s] * 3 * width + c], *b = a + width, *p = b + width;
        const double k = in[0][t * width + c], v = in[1][t * width + c], bonus = in[3][c] + k;
        const double top = std::max(*p, bonus), now = std::exp(bonus - top), before = std::exp(*p - top);
        y[t * width + c] = (before * *a + now * v) / (before * *b + now);
        const double shrunk = *p - std::exp(in[2][c]), next = std::max(shrunk, k);
        *a = std::exp(shrunk - next) * *a + std::exp(k - next) * v;
        *b = std::exp(shrunk - next) * *b + std::exp(k - next);
        *p = next;
      }
    }
  }
  ClearUnused(all, sequences, 3 * width);
  return {y, all};
}

/// {key, removal, replacement}
inline std::vector<Values> MakeKeys(const Values& k, const Values& a, const Values& k_k, const Values& k_a,
                                    size_t heads) {
  const size_t width = k_k.size(), size = width / heads;
  std::vector<Values> out(3, Values(k.size()));
  for (size_t at = 0; at < k.size(); at += size) {
    double squares = 0;
    for (size_t i = at; i < at + size; ++i) squares += std::pow(k[i] * k_k[i % width], 2);
    const double norm = std::max(std::sqrt(squares), 1e-12);
    for (size_t i = at; i < at + size; ++i) {
      const double kk = k[i] * k_k[i % width] / norm;
      out[0][i] = k[i] * (1 + (a[i] - 1) * k_a[i % width]);
      out[1][i] = -kk;
      out[2][i] = kk * a[i];
    }
  }
  return out;
}

/// in = {r, k, v, w, u}; w [n, width] or [width]; state [slots, heads, size key, size value]. Returns {y,
/// final state}.
inline std::vector<Values> Wkv6(const std::vector<Values>& in, const Values& state,
                                const Sequences& sequences, size_t heads) {
  const auto& [r, k, v, w, u] = std::tie(in[0], in[1], in[2], in[3], in[4]);
  const size_t width = u.size(), size = width / heads;
  Values y(r.size()), all = state;
  for (int s = 0; s < sequences.sequences(); ++s) {
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t c = 0; c < width; ++c) {  // a key's channel, with the row of the state that it has
        const size_t at = t * width + c, head = c / size;
        const double decay = std::exp(-std::exp(w[at % w.size()]));
        double* row = all.data() + (sequences.slot[s] * width + c) * size;
        for (size_t j = 0; j < size; ++j) {
          const size_t out = t * width + head * size + j;
          const double added = k[at] * v[out];
          y[out] += r[at] * (u[c] * added + row[j]);
          row[j] = decay * row[j] + added;
        }
      }
    }
  }
  ClearUnused(all, sequences, width * size);
  return {y, all};
}

/// in = {r, w, k, v, a, b}, each [n, width]; state [slots, heads, size, size]. Returns {y, final state}.
inline std::vector<Values> Wkv7(const std::vector<Values>& in, const Values& state,
                                const Sequences& sequences, size_t width, size_t heads) {
  const auto& [r, w, k, v, a, b] = std::tie(in[0], in[1], in[2], in[3], in[4], in[5]);
  const size_t size = width / heads;
  Values y(r.size()), all = state;
  for (int s = 0; s < sequences.sequences(); ++s) {
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t h = 0; h < heads; ++h) {
        const size_t at = t * width + h * size;
        double* matrix = all.data() + (sequences.slot[s] * heads + h) * size * size;
        for (size_t i = 0; i < size; ++i) {
          double* row = matrix + i * size;
          double removed = 0;
          for (size_t j = 0; j < size; ++j) removed += row[j] * a[at + j];
          for (size_t j = 0; j < size; ++j) {
            const double decay = std::exp(-std::exp(-0.5) * Sigmoid(w[at + j]));
            row[j] = row[j] * decay + removed * b[at + j] + v[at + i] * k[at + j];
            y[at + i] += row[j] * r[at + j];
          }
        }
      }
    }
  }
  ClearUnused(all, sequences, heads * size * size);
  return {y, all};
}

/// in = {q, k [n, width_k], v [n, width_v], keys [slots, capacity, width_k], values [slots, capacity,
/// width_v]}; past[slot] rows of a cache are taken. Returns {y, keys, values}, with zeros in what is not
/// taken.
inline std::vector<Values> Attention(const std::vector<Values>& in, const Sequences& sequences,
                                     const std::vector<int>& past, size_t capacity, size_t width_k,
                                     size_t width_v, double scale, double cap, size_t heads = 1) {
  const size_t dk = width_k / heads, dv = width_v / heads;
  Values y(in[2].size()), keys(in[3].size()), values(in[4].size());
  for (int s = 0; s < sequences.sequences(); ++s) {
    const size_t slot = sequences.slot[s], before = past[slot];
    for (size_t h = 0; h < heads; ++h) {
      const size_t at = (slot * heads + h) * capacity;
      std::copy_n(in[3].begin() + at * dk, before * dk, keys.begin() + at * dk);
      std::copy_n(in[4].begin() + at * dv, before * dv, values.begin() + at * dv);
      for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
        const size_t last = at + before + t - sequences.start[s];
        std::copy_n(in[1].begin() + t * width_k + h * dk, dk, keys.begin() + last * dk);
        std::copy_n(in[2].begin() + t * width_v + h * dv, dv, values.begin() + last * dv);
        Values weights;
        double sum = 0;
        for (size_t j = at; j <= last; ++j) {
          double dot = 0;
          for (size_t i = 0; i < dk; ++i) dot += in[0][t * width_k + h * dk + i] * keys[j * dk + i];
          weights.push_back(std::exp(cap > 0 ? cap * std::tanh(scale * dot) : scale * dot));
          sum += weights.back();
        }
        for (size_t j = at; j <= last; ++j) {
          for (size_t i = 0; i < dv; ++i)
            y[t * width_v + h * dv + i] += weights[j - at] / sum * values[j * dv + i];
        }
      }
    }
  }
  return {y, keys, values};
}

/// in = {k, v [n, width], w [n, capacity], keys, values [slots, capacity, width]}. Returns {y, keys, values}.
inline std::vector<Values> AftAverage(const std::vector<Values>& in, const Sequences& sequences,
                                      const std::vector<int>& past, size_t capacity, size_t width,
                                      size_t window) {
  Values y(in[0].size()), keys(in[3].size()), values(in[4].size());
  for (int s = 0; s < sequences.sequences(); ++s) {
    const size_t slot = sequences.slot[s], before = past[slot], at = slot * capacity * width;
    std::copy_n(in[3].begin() + at, before * width, keys.begin() + at);
    std::copy_n(in[4].begin() + at, before * width, values.begin() + at);
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      const size_t place = before + t - sequences.start[s];
      for (size_t c = 0; c < width; ++c) {
        keys[at + place * width + c] = in[0][t * width + c];
        values[at + place * width + c] = in[1][t * width + c];
        double over = 0, under = 0;
        for (size_t j = 0; j <= place; ++j) {
          const double bias = place - j < window ? in[2][t * capacity + j] : 0;
          const double weight = std::exp(keys[at + j * width + c] + bias);
          over += weight * values[at + j * width + c];
          under += weight;
        }
        y[t * width + c] = over / under;
      }
    }
  }
  return {y, keys, values};
}

/// in = {k [n, heads], v [n, width], w [heads, window], keys [slots, window + 1, heads], values [slots,
/// window + 1, width]}. Returns {y, keys, values}.
inline std::vector<Values> AftConv(const std::vector<Values>& in, const Sequences& sequences, size_t heads,
                                   size_t width, size_t window) {
  const size_t size = width / heads, state = window + 1;
  Values y(in[1].size()), keys(in[3].size()), values(in[4].size());
  for (size_t part = 0; part < sequences.sequences() * width; ++part) {
    const size_t s = part / width, c = part % width, h = c / size, slot = sequences.slot[s];
    std::vector<std::pair<double, double>> seen;  // key and value, from what stands for the oldest on
    const auto weight = [&](size_t j, size_t t) {
      return std::exp(seen[j].first + (t - j < window ? in[2][h * window + t - j] : 0));
    };
    // Of rows 0 to `last` for row t.
    const auto sums = [&](size_t last, size_t t) {
      double over = 0, under = 0;
      for (size_t j = 0; j <= last; ++j) over += weight(j, t) * seen[j].second, under += weight(j, t);
      return std::pair(under, over / under);
    };
    for (size_t row = state; row-- > 0;) {
      const size_t at = slot * state + row;
      seen.emplace_back(in[3][at * heads + h], in[4][at * width + c]);
    }
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      seen.emplace_back(in[0][t * heads + h], in[1][t * width + c]);
      y[t * width + c] = sums(seen.size() - 1, seen.size() - 1).second;
    }
    const auto [mass, average] = sums(seen.size() - 1 - window, 2 * seen.size());
    for (size_t row = 0; row < state; ++row) {
      const size_t at = slot * state + row;
      keys[at * heads + h] = row == window ? std::log(mass) : seen[seen.size() - 1 - row].first;
      values[at * width + c] = row == window ? average : seen[seen.size() - 1 - row].second;
    }
  }
  return {y, keys, values};
}

/// in = {x, q, k [n, width], z [slots, width]}. Returns {y, z}.
inline std::vector<Values> DivideByMass(const std::vector<Values>& in, const Sequences& sequences,
                                        size_t heads, size_t width, double eps) {
  const size_t size = width / heads;
  Values y = in[0], z = in[3];
  for (int s = 0; s < sequences.sequences(); ++s) {
    double* sum = z.data() + sequences.slot[s] * width;
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      for (size_t c = 0; c < width; ++c) sum[c] += in[2][t * width + c];
      for (size_t h = 0; h < heads; ++h) {
        double mass = eps;
        for (size_t c = h * size; c < (h + 1) * size; ++c) mass += in[1][t * width + c] * sum[c];
        for (size_t c = h * size; c < (h + 1) * size; ++c) y[t * width + c] /= mass;
      }
    }
  }
  ClearUnused(z, sequences, width);
  return {y, z};
}

/// For each place the value that ROSA finds, from its definition; -1 without a match.
inline std::vector<int> Rosa(const std::vector<int>& q, const std::vector<int>& k,
                             const std::vector<int>& v) {
  std::vector<int> found(q.size(), -1);
  for (size_t i = 0; i < q.size(); ++i) {
    size_t longest = 0;
    for (size_t e = i; e-- > 0;) {  // an end before i, the latest first
      size_t length = 0;
      while (length <= e && q[i - length] == k[e - length]) ++length;
      if (length > longest) longest = length, found[i] = v[e + 1];
    }
  }
  return found;
}

/// in = {x of each gate [n, width], u of each [width, width], state [slots, V, width]}. Returns {y, state}.
inline std::vector<Values> RecurrentCell(CellKind kind, const std::vector<Values>& in,
                                         const Sequences& sequences, size_t width) {
  const size_t gates = in.size() / 2, variables = kind == CellKind::kLstm ? 2 : 1;
  Values y(in[0].size()), state = in.back();
  for (int s = 0; s < sequences.sequences(); ++s) {
    double* h = state.data() + sequences.slot[s] * variables * width;
    for (int t = sequences.start[s]; t < sequences.start[s + 1]; ++t) {
      const Values old(h, h + variables * width);
      const auto before = [&](size_t g, size_t c, const Values& from) {
        double a = in[g][t * width + c];
        for (size_t i = 0; i < width; ++i) a += in[gates + g][c * width + i] * from[i];
        return a;
      };
      Values reset = old;
      for (size_t c = 0; c < width && kind == CellKind::kGru; ++c) reset[c] *= Sigmoid(before(1, c, old));
      for (size_t c = 0; c < width; ++c) {
        if (kind == CellKind::kTanh) {
          h[c] = std::tanh(before(0, c, old));
        } else if (kind == CellKind::kGru) {
          const double z = Sigmoid(before(0, c, old));
          h[c] = z * std::tanh(before(2, c, reset)) + (1 - z) * old[c];
        } else {
          h[width + c] = Sigmoid(before(1, c, old)) * old[width + c] +
                         Sigmoid(before(0, c, old)) * std::tanh(before(3, c, old));
          h[c] = Sigmoid(before(2, c, old)) * std::tanh(h[width + c]);
        }
        y[t * width + c] = h[c];
      }
    }
  }
  ClearUnused(state, sequences, variables * width);
  return {y, state};
}

inline Values BonusGate(const Values& y, const Values& r, const Values& k, const Values& v, const Values& r_k,
                        const Values& g, size_t heads) {
  const size_t width = r_k.size(), size = width / heads;
  Values out(y.size());
  for (size_t at = 0; at < y.size(); at += size) {
    double bonus = 0;
    for (size_t i = at; i < at + size; ++i) bonus += r[i] * k[i] * r_k[i % width];
    for (size_t i = at; i < at + size; ++i) out[i] = (y[i] + v[i] * bonus) * g[i];
  }
  return out;
}

inline double CrossEntropy(const Values& logits, const std::vector<int>& targets, size_t vocab) {
  double total = 0;
  int counted = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0) continue;
    const double* row = logits.data() + i * vocab;
    const double max = *std::max_element(row, row + vocab);
    double sum = 0;
    for (size_t j = 0; j < vocab; ++j) sum += std::exp(row[j] - max);
    total += max + std::log(sum) - row[targets[i]];
    ++counted;
  }
  return total / std::max(1, counted);
}

}  // namespace linnet::reference
