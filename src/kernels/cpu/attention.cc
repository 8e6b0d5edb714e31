// Causal attention over what a sequence has seen, which lies in its cache:
//
//   s_j = cap tanh(scale <q, k_j>)      p = softmax(s)      y = sum_j p_j v_j
//   dp_j = <dy, v_j>                    ds_j = p_j (dp_j - <dy, y>)
//   du_j = ds_j cap scale (1 - tanh^2)  dq = sum_j du_j k_j    dk_j += du_j q    dv_j += p_j dy
//
// No score exceeds the cap, so a row's exponentials need its maximum only for their accuracy.
#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/row_sums.h"

#ifndef LINNET_KERNELS_CPU_ATTENTION_ONCE
#define LINNET_KERNELS_CPU_ATTENTION_ONCE
namespace linnet {

/// Rows of queries that read the cache together.
inline constexpr int kTogether = 4;

/// Widths of keys and values.
struct AttentionWidths {
  size_t key, value;
};

}  // namespace linnet
#endif

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// tanhs[j] becomes tanh(scale tanhs[j]), and p = softmax(cap tanhs); both have `count` elements.
HWY_INLINE void Weights(size_t count, SoftCap soft, float* tanhs, float* p) {
  const F32 d;
  const Vec scale = hn::Set(d, soft.scale), cap = hn::Set(d, soft.cap);
  ForLanes(count, [&](auto io, size_t j)
                      HWY_ATTR { io.Store(Tanh(hn::Mul(scale, io.Load(tanhs + j))), tanhs + j); });
  const Vec largest = hn::Set(d, *std::max_element(tanhs, tanhs + count));
  Vec sum = hn::Zero(d);
  ForLanes(count, [&](auto io, size_t j) HWY_ATTR {
    const Vec e = hn::Exp(d, hn::Mul(cap, hn::Sub(io.Load(tanhs + j), largest)));
    sum = hn::Add(sum, io.ZeroRest(e));
    io.Store(e, p + j);
  });
  const Vec inverse = hn::Set(d, 1 / Sum(sum));
  ForLanes(count, [&](auto io, size_t j) HWY_ATTR { io.Store(hn::Mul(inverse, io.Load(p + j)), p + j); });
}

/// y of kQ rows that follow each other: the first looks at `count` rows of the cache, the next at one more
/// each. `scratch` holds 2 kQ (count + kQ) elements.
template <int kQ>
HWY_INLINE void AttendTile(const float* q, const float* keys, const float* values, size_t count,
                           AttentionWidths widths, SoftCap soft, float* scratch, float* y) {
  const size_t stride = count + kQ;
  float *tanhs = scratch, *p = scratch + kQ * stride;
  const float *more_keys = keys + count * widths.key, *more_values = values + count * widths.value;
  DotRows<kQ>(q, keys, count, widths.key, stride, tanhs);
  for (int i = 0; i < kQ; ++i) {
    float* row = tanhs + i * stride;
    DotRows(q + i * widths.key, more_keys, i, widths.key, 0, row + count);
    Weights(count + i, soft, row, p + i * stride);
  }
  std::memset(y, 0, kQ * widths.value * sizeof(float));
  AddWeightedRows<kQ>(p, stride, 1, values, count, widths.value, y);
  for (int i = 1; i < kQ; ++i) {
    AddWeightedRows(p + i * stride + count, 0, 1, more_values, i, widths.value, y + i * widths.value);
  }
}

/// y of `rows` rows that follow each other, of which the first looks at `count` rows of the cache.
void AttendRows(const float* q, const float* keys, const float* values, size_t rows, size_t count,
                AttentionWidths widths, SoftCap soft, float* scratch, float* y) {
  size_t t = 0;
  for (; t + kTogether <= rows; t += kTogether) {
    AttendTile<kTogether>(q + t * widths.key, keys, values, count + t, widths, soft, scratch,
                          y + t * widths.value);
  }
  for (; t < rows; ++t) {
    AttendTile<1>(q + t * widths.key, keys, values, count + t, widths, soft, scratch, y + t * widths.value);
  }
}

/// dq of one row; leaves p and du. `scratch` holds 2 count elements.
void AttendRowBackward(const float* q, const float* keys, const float* values, size_t count,
                       AttentionWidths widths, SoftCap soft, const float* y, const float* dy, float* scratch,
                       float* p, float* du, float* dq) {
  const F32 d;
  float *tanhs = scratch, *dp = scratch + count, mean;
  DotRows(q, keys, count, widths.key, 0, tanhs);
  Weights(count, soft, tanhs, p);
  DotRows(dy, values, count, widths.value, 0, dp);
  DotRows(dy, y, 1, widths.value, 0, &mean);
  const Vec center = hn::Set(d, mean), one = hn::Set(d, 1.0f), factor = hn::Set(d, soft.cap * soft.scale);
  ForLanes(count, [&](auto io, size_t j) HWY_ATTR {
    const Vec t = io.Load(tanhs + j), ds = hn::Mul(io.Load(p + j), hn::Sub(io.Load(dp + j), center));
    io.Store(hn::Mul(hn::Mul(ds, factor), hn::NegMulAdd(t, t, one)), du + j);
  });
  std::memset(dq, 0, widths.key * sizeof(float));
  AddWeightedRows(du, 0, 1, keys, count, widths.key, dq);
}

/// y += sum_t weights[t * step] rows[t]
void AddRows(const float* weights, size_t step, const float* rows, size_t count, size_t n, float* y) {
  AddWeightedRows(weights, 0, step, rows, count, n, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(AttendRows);
HWY_EXPORT(AttendRowBackward);
HWY_EXPORT(AddRows);

namespace {

/// The rows of one slot of a cache [slots, capacity, width], from `row` on.
float* CacheRows(const Tensor& cache, int slot, int64_t row) {
  return cache.data() + (slot * cache.dim(1) + row) * cache.dim(2);
}

/// Puts the rows of a sequence behind those that the cache holds.
void Append(const float* rows, int64_t count, int slot, int64_t past, const StateRef& cache) {
  const int64_t width = cache.in.dim(2);
  if (cache.in.raw() != cache.out.raw())
    std::copy_n(CacheRows(cache.in, slot, 0), past * width, CacheRows(cache.out, slot, 0));
  std::copy_n(rows, count * width, CacheRows(cache.out, slot, past));
}

/// Rows of attention over `seen` rows that are worth a thread.
int64_t GrainOf(int64_t seen, AttentionWidths widths) {
  return GrainRows(seen * static_cast<int64_t>(widths.key + widths.value));
}

/// Adds what arrived at the cache's rows after the batch to those of a sequence's own and of the past.
void AddArrived(const Tensor& arrived, int slot, int64_t past, int64_t count, float* own,
                const Tensor& before) {
  if (!arrived) return;
  const int64_t width = arrived.dim(2);
  const float* from = CacheRows(arrived, slot, 0);
  for (int64_t i = 0; i < count * width; ++i) own[i] += from[past * width + i];
  if (!before) return;
  float* to = CacheRows(before, slot, 0);
  for (int64_t i = 0; i < past * width; ++i) to[i] += from[i];
}

}  // namespace

void CpuBackend::AttentionForward(const AttentionInputs& in, const Sequences& sequences,
                                  std::span<const int> past, SoftCap soft, const AttentionCache& cache,
                                  const Tensor& y) {
  const AttentionWidths widths{static_cast<size_t>(in.k.dim(1)), static_cast<size_t>(in.v.dim(1))};
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s], length = sequences.length(s), seen = past[s] + length;
    const int slot = sequences.slot[s];
    Append(in.k.data() + first * widths.key, length, slot, past[s], cache.keys);
    Append(in.v.data() + first * widths.value, length, slot, past[s], cache.values);
    const float *keys = CacheRows(cache.keys.out, slot, 0), *values = CacheRows(cache.values.out, slot, 0);
    ParallelFor(length, GrainOf(seen, widths), [&](int64_t begin, int64_t end) {
      const Tensor scratch = Tensor::Empty({2 * kTogether * (seen + kTogether)});
      HWY_DYNAMIC_DISPATCH(AttendRows)
      (in.q.data() + (first + begin) * widths.key, keys, values, end - begin, past[s] + begin + 1, widths,
       soft, scratch.data(), y.data() + (first + begin) * widths.value);
    });
  }
}

void CpuBackend::AttentionBackward(const Tensor& q, const Sequences& sequences, std::span<const int> past,
                                   SoftCap soft, const Tensor& keys, const Tensor& values, const Tensor& y,
                                   const Tensor& dy, const AttentionInputs& arrived,
                                   const AttentionInputs& gradients, const AttentionInputs& before) {
  const AttentionWidths widths{static_cast<size_t>(keys.dim(2)), static_cast<size_t>(values.dim(2))};
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t first = sequences.start[s], length = sequences.length(s), seen = past[s] + length;
    const int slot = sequences.slot[s];
    const float* rows_q = q.data() + first * widths.key;
    const float* rows_dy = dy.data() + first * widths.value;
    const Tensor p = Tensor::Empty({length, seen}), du = Tensor::Empty({length, seen});
    ParallelFor(length, GrainOf(seen, widths), [&](int64_t begin, int64_t end) {
      const Tensor scratch = Tensor::Empty({2 * seen});
      for (int64_t t = begin; t < end; ++t) {
        HWY_DYNAMIC_DISPATCH(AttendRowBackward)
        (rows_q + t * widths.key, CacheRows(keys, slot, 0), CacheRows(values, slot, 0), past[s] + t + 1,
         widths, soft, y.data() + (first + t) * widths.value, rows_dy + t * widths.value, scratch.data(),
         p.data() + t * seen, du.data() + t * seen, gradients.q.data() + (first + t) * widths.key);
      }
    });
    // Row j of the cache is looked at by the rows from its own, or from the first if it lies in the past.
    ParallelFor(seen, GrainOf(length, widths), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; ++j) {
        const bool own = j >= past[s];
        const int64_t t = own ? j - past[s] : 0;
        const auto add = [&](const Tensor& weights, const float* rows, size_t width, const Tensor& to_own,
                             const Tensor& to_past) {
          if (!own && !to_past) return;
          float* to = own ? to_own.data() + (first + t) * width : CacheRows(to_past, slot, j);
          if (own) std::fill_n(to, width, 0.0f);
          HWY_DYNAMIC_DISPATCH(AddRows)
          (weights.data() + t * seen + j, seen, rows + t * width, length - t, width, to);
        };
        add(du, rows_q, widths.key, gradients.k, before.k);
        add(p, rows_dy, widths.value, gradients.v, before.v);
      }
    });
    AddArrived(arrived.k, slot, past[s], length, gradients.k.data() + first * widths.key, before.k);
    AddArrived(arrived.v, slot, past[s], length, gradients.v.data() + first * widths.value, before.v);
  }
}

}  // namespace linnet
#endif  // HWY_ONCE
