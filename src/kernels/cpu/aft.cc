// The average of an attention-free transformer, channel by channel:
//
//   y_t = sum_j E_tj a_j v_j / sum_j E_tj a_j    with E_tj = e^{w_tj} (e^0 beyond the window), a_j = e^{k_j -
//   m}
//
// The weights split into a factor of the two places and one of the key, so the sums are products of matrices,
// E by [a v | a]. m is the largest key of the channel in all rows seen; exponents below kLowest are held
// there, so that no denominator vanishes. Backward, with n the denominator:
//
//   g = dy / n    f = -dy y / n    d(a v) = E^T g    da = E^T f + v E^T g    dv = a E^T g    dk = a da
//   dw = E (g (a v)^T + f a^T)
#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

constexpr float kLowest = -80;

float* CacheRows(const Tensor& cache, int slot, int64_t row) {
  return cache.data() + (slot * cache.dim(1) + row) * cache.dim(2);
}

/// Rows of a sequence, `past` of them seen before.
struct AftRows {
  int64_t past, length, seen, width, window;
};

/// E [length, seen]: zero where row t does not look. `w` are the sequence's rows of biases.
Tensor Weights(const float* w, int64_t capacity, const AftRows& r) {
  const Tensor e = Tensor::Empty({r.length, r.seen});
  ParallelFor(r.length, GrainRows(4 * r.seen), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t place = r.past + t, near = std::max<int64_t>(0, place - r.window + 1);
      float* row = e.data() + t * r.seen;
      std::fill_n(row, std::min(near, place + 1), 1.0f);
      for (int64_t j = near; j <= place; ++j) row[j] = std::exp(w[t * capacity + j]);
      std::fill(row + place + 1, row + r.seen, 0.0f);
    }
  });
  return e;
}

/// [a v | a] of all rows seen, [seen, 2 C].
Tensor Seen(const float* keys, const float* values, const AftRows& r) {
  const Tensor both = Tensor::Empty({r.seen, 2 * r.width});
  std::vector<float> largest(keys, keys + r.width);
  for (int64_t j = 1; j < r.seen; ++j) {
    for (int64_t c = 0; c < r.width; ++c) largest[c] = std::max(largest[c], keys[j * r.width + c]);
  }
  ParallelFor(r.seen, GrainRows(4 * r.width), [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; ++j) {
      float *product = both.data() + 2 * j * r.width, *a = product + r.width;
      for (int64_t c = 0; c < r.width; ++c) {
        a[c] = std::exp(std::max(kLowest, keys[j * r.width + c] - largest[c]));
        product[c] = a[c] * values[j * r.width + c];
      }
    }
  });
  return both;
}

AftRows RowsOf(const Sequences& sequences, std::span<const int> past, int s, int64_t width, int64_t window) {
  const int64_t length = sequences.length(s);
  return {past[s], length, past[s] + length, width, window};
}

void Append(const float* rows, int slot, const AftRows& r, const StateRef& cache) {
  if (cache.in.raw() != cache.out.raw())
    std::copy_n(CacheRows(cache.in, slot, 0), r.past * r.width, CacheRows(cache.out, slot, 0));
  std::copy_n(rows, r.length * r.width, CacheRows(cache.out, slot, r.past));
}

/// Gives the gradients of all rows seen to those of the batch and those before it, with what arrived at the
/// cache.
void HandOut(const Tensor& d, const Tensor& arrived, int slot, const AftRows& r, float* own,
             const Tensor& before) {
  if (arrived) {
    const float* from = CacheRows(arrived, slot, 0);
    for (int64_t i = 0; i < r.seen * r.width; ++i) d.data()[i] += from[i];
  }
  std::copy_n(d.data() + r.past * r.width, r.length * r.width, own);
  for (int64_t i = 0; before && i < r.past * r.width; ++i) CacheRows(before, slot, 0)[i] += d.data()[i];
}

}  // namespace

void CpuBackend::AftForward(const AftInputs& in, const Sequences& sequences, std::span<const int> past,
                            int64_t window, const AttentionCache& cache, const Tensor& y,
                            const Tensor& sums) {
  const int64_t width = y.dim(1), capacity = in.w.dim(1);
  for (int s = 0; s < sequences.sequences(); ++s) {
    const AftRows r = RowsOf(sequences, past, s, width, window);
    const int slot = sequences.slot[s];
    const int64_t first = sequences.start[s];
    Append(in.k.data() + first * width, slot, r, cache.keys);
    Append(in.v.data() + first * width, slot, r, cache.values);
    const Tensor e = Weights(in.w.data() + first * capacity, capacity, r);
    const Tensor both = Seen(CacheRows(cache.keys.out, slot, 0), CacheRows(cache.values.out, slot, 0), r);
    const Tensor averages = Tensor::Empty({r.length, 2 * width});
    MatMul(e, false, both, false, averages, false);
    for (int64_t t = 0; t < r.length; ++t) {
      const float *over = averages.data() + 2 * t * width, *under = over + width;
      for (int64_t c = 0; c < width; ++c) y.data()[(first + t) * width + c] = over[c] / under[c];
      if (sums) std::copy_n(under, width, sums.data() + (first + t) * width);
    }
  }
}

void CpuBackend::AftBackward(const Tensor& w, const Sequences& sequences, std::span<const int> past,
                             int64_t window, const Tensor& keys, const Tensor& values, const Tensor& y,
                             const Tensor& sums, const Tensor& dy, const AftInputs& arrived,
                             const AftInputs& gradients, const AftInputs& before) {
  const int64_t width = y.dim(1), capacity = w.dim(1);
  std::fill_n(gradients.w.data(), gradients.w.size(), 0.0f);
  for (int s = 0; s < sequences.sequences(); ++s) {
    const AftRows r = RowsOf(sequences, past, s, width, window);
    const int slot = sequences.slot[s];
    const int64_t first = sequences.start[s];
    const Tensor e = Weights(w.data() + first * capacity, capacity, r);
    const Tensor both = Seen(CacheRows(keys, slot, 0), CacheRows(values, slot, 0), r);
    const Tensor gf = Tensor::Empty({r.length, 2 * width});  // [g | f]
    for (int64_t t = 0; t < r.length; ++t) {
      for (int64_t c = 0; c < width; ++c) {
        const int64_t at = (first + t) * width + c;
        const float g = dy.data()[at] / sums.data()[at];
        gf.data()[2 * t * width + c] = g;
        gf.data()[(2 * t + 1) * width + c] = -g * y.data()[at];
      }
    }
    const Tensor back = Tensor::Empty({r.seen, 2 * width}), de = Tensor::Empty({r.length, r.seen});
    MatMul(e, true, gf, false, back, false);
    MatMul(gf, false, both, true, de, false);
    const Tensor dk = Tensor::Empty({r.seen, width}), dv = Tensor::Empty({r.seen, width});
    for (int64_t j = 0; j < r.seen; ++j) {
      const float *dav = back.data() + 2 * j * width, *da = dav + width;
      const float *a = both.data() + (2 * j + 1) * width, *v = CacheRows(values, slot, j);
      for (int64_t c = 0; c < width; ++c) {
        dv.data()[j * width + c] = a[c] * dav[c];
        dk.data()[j * width + c] = a[c] * (da[c] + v[c] * dav[c]);
      }
    }
    for (int64_t t = 0; t < r.length; ++t) {
      const int64_t place = r.past + t;
      for (int64_t j = std::max<int64_t>(0, place - window + 1); j <= place; ++j) {
        gradients.w.data()[(first + t) * capacity + j] = e.data()[t * r.seen + j] * de.data()[t * r.seen + j];
      }
    }
    HandOut(dk, arrived.k, slot, r, gradients.k.data() + first * width, before.k);
    HandOut(dv, arrived.v, slot, r, gradients.v.data() + first * width, before.v);
  }
}

}  // namespace linnet
