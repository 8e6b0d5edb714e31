// Causal attention over what a sequence has seen, which lies in its cache:
//
//   s_j = cap tanh(scale <q, k_j>)      p = softmax(s)      y = sum_j p_j v_j
//   dp_j = <dy, v_j>                    ds_j = p_j (dp_j - <dy, y>)
//   du_j = ds_j cap scale (1 - tanh^2)  dq = sum_j du_j k_j    dk_j += du_j q    dv_j += p_j dy
//
// Without a cap a score is scale <q, k_j>, and du_j = ds_j scale. Each head does this by itself, on its own
// channels and its own part of the cache.
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

/// What the exponential reads: tanh(scale x), or scale x itself without a cap.
HWY_INLINE Vec Bounded(Vec x, SoftCap soft) {
  const Vec scaled = hn::Mul(hn::Set(F32(), soft.scale), x);
  return soft.cap > 0 ? Tanh(scaled) : scaled;
}

/// scores[j], products with a key, become Bounded, and p = softmax(cap scores); both have `count` elements.
HWY_INLINE void Weights(size_t count, SoftCap soft, float* scores, float* p) {
  const F32 d;
  ForLanes(count,
           [&](auto io, size_t j) HWY_ATTR { io.Store(Bounded(io.Load(scores + j), soft), scores + j); });
  const Vec largest = hn::Set(d, *std::max_element(scores, scores + count)),
            cap = hn::Set(d, soft.cap > 0 ? soft.cap : 1);
  Vec sum = hn::Zero(d);
  ForLanes(count, [&](auto io, size_t j) HWY_ATTR {
    const Vec e = hn::Exp(d, hn::Mul(cap, hn::Sub(io.Load(scores + j), largest)));
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
  float *scores = scratch, *p = scratch + kQ * stride;
  const float *more_keys = keys + count * widths.key, *more_values = values + count * widths.value;
  DotRows<kQ>(q, keys, count, widths.key, stride, scores);
  for (int i = 0; i < kQ; ++i) {
    float* row = scores + i * stride;
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
  float *scores = scratch, *dp = scratch + count, mean;
  DotRows(q, keys, count, widths.key, 0, scores);
  Weights(count, soft, scores, p);
  DotRows(dy, values, count, widths.value, 0, dp);
  DotRows(dy, y, 1, widths.value, 0, &mean);
  const Vec center = hn::Set(d, mean), one = hn::Set(d, 1.0f),
            factor = hn::Set(d, soft.scale * (soft.cap > 0 ? soft.cap : 1));
  const bool capped = soft.cap > 0;
  ForLanes(count, [&](auto io, size_t j) HWY_ATTR {
    const Vec t = io.Load(scores + j), ds = hn::Mul(io.Load(p + j), hn::Sub(io.Load(dp + j), center));
    io.Store(hn::Mul(hn::Mul(ds, factor), capped ? hn::NegMulAdd(t, t, one) : one), du + j);
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

int64_t HeadsOf(const Tensor& cache) { return cache.shape().rank() == 4 ? cache.dim(1) : 1; }

/// The rows of one head of one slot of a cache [slots, H, capacity, width], from `row` on.
float* CacheRows(const Tensor& cache, int slot, int64_t head, int64_t row) {
  const int64_t capacity = cache.dim(-2), width = cache.dim(-1);
  return cache.data() + ((slot * HeadsOf(cache) + head) * capacity + row) * width;
}

/// Puts the rows of a sequence behind those that the cache holds.
void Append(const float* rows, int64_t count, int slot, int64_t head, int64_t past, const StateRef& cache) {
  const int64_t width = cache.in.dim(-1);
  if (cache.in.raw() != cache.out.raw())
    std::copy_n(CacheRows(cache.in, slot, head, 0), past * width, CacheRows(cache.out, slot, head, 0));
  std::copy_n(rows, count * width, CacheRows(cache.out, slot, head, past));
}

/// Rows of attention over `seen` rows that are worth a thread.
int64_t GrainOf(int64_t seen, AttentionWidths widths) {
  return GrainRows(seen * static_cast<int64_t>(widths.key + widths.value));
}

/// Adds what arrived at the cache's rows after the batch to those of a sequence's own and of the past.
void AddArrived(const Tensor& arrived, int slot, int64_t head, int64_t past, int64_t count, float* own,
                const Tensor& before) {
  if (!arrived) return;
  const int64_t width = arrived.dim(-1);
  const float* from = CacheRows(arrived, slot, head, 0);
  for (int64_t i = 0; i < count * width; ++i) own[i] += from[past * width + i];
  if (!before) return;
  float* to = CacheRows(before, slot, head, 0);
  for (int64_t i = 0; i < past * width; ++i) to[i] += from[i];
}

/// x [N, H D] with each head's rows by themselves, [H, N, D]; x itself if there is one head.
Tensor ByHead(Backend& backend, const Tensor& x, int64_t heads) {
  if (heads == 1) return x;
  const Tensor parts = Tensor::Empty({heads, x.dim(0), x.dim(1) / heads});
  backend.SplitColumns(x, parts);
  return parts;
}

/// The same for a tensor that is yet to be written.
Tensor ToBeJoined(const Tensor& x, int64_t heads) {
  return heads == 1 ? x : Tensor::Empty({heads, x.dim(0), x.dim(1) / heads});
}

void Join(Backend& backend, const Tensor& parts, const Tensor& x) {
  if (parts.raw() != x.raw()) backend.JoinColumns(parts, x);
}

/// Calls body(s, head) for each head of each sequence: in parallel if they are many, else one after the
/// other, each with all threads for its rows.
template <class Body>
void ForHeads(const Sequences& sequences, int64_t heads, const Body& body) {
  const int64_t all = sequences.sequences() * heads;
  ParallelFor(all, all < 2 * Threads() ? all : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(static_cast<int>(i / heads), i % heads);
  });
}

}  // namespace

void CpuBackend::AttentionForward(const AttentionInputs& in, const Sequences& sequences,
                                  std::span<const int> past, SoftCap soft, const AttentionCache& cache,
                                  const Tensor& y) {
  const int64_t rows = in.q.dim(0), heads = HeadsOf(cache.keys.in);
  const AttentionWidths widths{static_cast<size_t>(cache.keys.in.dim(-1)),
                               static_cast<size_t>(cache.values.in.dim(-1))};
  const AttentionInputs x{ByHead(*this, in.q, heads), ByHead(*this, in.k, heads), ByHead(*this, in.v, heads)};
  const Tensor ys = ToBeJoined(y, heads);
  ForHeads(sequences, heads, [&](int s, int64_t head) {
    const int64_t first = head * rows + sequences.start[s], length = sequences.length(s);
    const int64_t seen = past[s] + length;
    const int slot = sequences.slot[s];
    Append(x.k.data() + first * widths.key, length, slot, head, past[s], cache.keys);
    Append(x.v.data() + first * widths.value, length, slot, head, past[s], cache.values);
    const float *keys = CacheRows(cache.keys.out, slot, head, 0),
                *values = CacheRows(cache.values.out, slot, head, 0);
    ParallelFor(length, GrainOf(seen, widths), [&](int64_t begin, int64_t end) {
      const Tensor scratch = Tensor::Empty({2 * kTogether * (seen + kTogether)});
      HWY_DYNAMIC_DISPATCH(AttendRows)
      (x.q.data() + (first + begin) * widths.key, keys, values, end - begin, past[s] + begin + 1, widths,
       soft, scratch.data(), ys.data() + (first + begin) * widths.value);
    });
  });
  Join(*this, ys, y);
}

void CpuBackend::AttentionBackward(const Tensor& q, const Sequences& sequences, std::span<const int> past,
                                   SoftCap soft, const Tensor& keys, const Tensor& values, const Tensor& y,
                                   const Tensor& dy, const AttentionInputs& arrived,
                                   const AttentionInputs& gradients, const AttentionInputs& before) {
  const int64_t rows = q.dim(0), heads = HeadsOf(keys);
  const AttentionWidths widths{static_cast<size_t>(keys.dim(-1)), static_cast<size_t>(values.dim(-1))};
  const Tensor qs = ByHead(*this, q, heads), ys = ByHead(*this, y, heads), dys = ByHead(*this, dy, heads);
  const AttentionInputs d{ToBeJoined(gradients.q, heads), ToBeJoined(gradients.k, heads),
                          ToBeJoined(gradients.v, heads)};
  ForHeads(sequences, heads, [&](int s, int64_t head) {
    const int64_t first = head * rows + sequences.start[s], length = sequences.length(s);
    const int64_t seen = past[s] + length;
    const int slot = sequences.slot[s];
    const float* rows_q = qs.data() + first * widths.key;
    const float* rows_dy = dys.data() + first * widths.value;
    const Tensor p = Tensor::Empty({length, seen}), du = Tensor::Empty({length, seen});
    ParallelFor(length, GrainOf(seen, widths), [&](int64_t begin, int64_t end) {
      const Tensor scratch = Tensor::Empty({2 * seen});
      for (int64_t t = begin; t < end; ++t) {
        HWY_DYNAMIC_DISPATCH(AttendRowBackward)
        (rows_q + t * widths.key, CacheRows(keys, slot, head, 0), CacheRows(values, slot, head, 0),
         past[s] + t + 1, widths, soft, ys.data() + (first + t) * widths.value, rows_dy + t * widths.value,
         scratch.data(), p.data() + t * seen, du.data() + t * seen, d.q.data() + (first + t) * widths.key);
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
          float* to = own ? to_own.data() + (first + t) * width : CacheRows(to_past, slot, head, j);
          if (own) std::fill_n(to, width, 0.0f);
          HWY_DYNAMIC_DISPATCH(AddRows)
          (weights.data() + t * seen + j, seen, rows + t * width, length - t, width, to);
        };
        add(du, rows_q, widths.key, d.k, before.k);
        add(p, rows_dy, widths.value, d.v, before.v);
      }
    });
    AddArrived(arrived.k, slot, head, past[s], length, d.k.data() + first * widths.key, before.k);
    AddArrived(arrived.v, slot, head, past[s], length, d.v.data() + first * widths.value, before.v);
  });
  Join(*this, d.q, gradients.q);
  Join(*this, d.k, gradients.k);
  Join(*this, d.v, gradients.v);
}

}  // namespace linnet
#endif  // HWY_ONCE
