// Causal convolutions with kernels as long as the sequences, by Fourier transforms: O(T log T) a feature.
//
//     y_t = sum_{s <= t} K_{t-s} u_s        Y = X(u) X(K)        with zeros behind both, so that nothing
//     wraps
//
// Backward, with X* the conjugate: du is the inverse of X(K)* X(dy), dK that of the sum over sequences of
// X(u)* X(dy). A block of features is turned into rows along time, as FFTW has them fastest; sequences whose
// transforms have the same size share that of the kernel.
#include <algorithm>
#include <numeric>

#include "base/parallel.h"
#include "hwy/aligned_allocator.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/fft.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/long_convolution.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/simd.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// Calls body(x, y, index) for vectors of n complex numbers, which lie real part by imaginary part; n is
/// rounded up to whole vectors, which the memory has room for.
template <class Body>
HWY_INLINE void ForComplex(size_t n, const float* x, const float* y, const Body& body) {
  for (size_t i = 0; i < n; i += Lanes()) {
    Complex a, b;
    hn::LoadInterleaved2(F32(), x + 2 * i, a.re, a.im);
    hn::LoadInterleaved2(F32(), y + 2 * i, b.re, b.im);
    body(a, b, 2 * i);
  }
}

/// out = x y
void Product(const float* x, const float* y, float* out, size_t n) {
  ForComplex(n, x, y, [&](const Complex& a, const Complex& b, size_t i) HWY_ATTR {
    const Vec none = hn::Zero(F32());
    const Complex z = MulAdd(a, b, {none, none});
    hn::StoreInterleaved2(z.re, z.im, F32(), out + i);
  });
}

/// sum += x* g, then g = k* g
void ProductBackward(const float* x, const float* k, float* g, float* sum, size_t n) {
  ForComplex(n, x, g, [&](const Complex& a, const Complex& b, size_t i) HWY_ATTR {
    Complex so_far, kernel;
    hn::LoadInterleaved2(F32(), sum + i, so_far.re, so_far.im);
    hn::LoadInterleaved2(F32(), k + i, kernel.re, kernel.im);
    const Complex z = MulAdd(Conjugate(a), b, so_far);
    hn::StoreInterleaved2(z.re, z.im, F32(), sum + i);
    const Vec none = hn::Zero(F32());
    const Complex back = MulAdd(Conjugate(kernel), b, {none, none});
    hn::StoreInterleaved2(back.re, back.im, F32(), g + i);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(Product);
HWY_EXPORT(ProductBackward);

namespace {

constexpr int64_t kFeatures = 16;   // of a block: one cache line of a row
constexpr int64_t kMostLanes = 16;  // room behind what is worked on in vectors

/// Features [first, first + count) of x [N, width].
struct Columns {
  float* data;
  int64_t width, count;

  Columns(const Tensor& x, int64_t row, int64_t first, int64_t features)
      : data(x.data() + row * x.dim(1) + first), width(x.dim(1)), count(features) {}

  /// rows [count, n] = the first `length` rows times `scale`, and zeros behind them.
  void ToRows(int64_t length, int64_t n, float scale, float* rows) const {
    constexpr int64_t kTile = 16;
    for (int64_t begin = 0; begin < length; begin += kTile) {
      const int64_t end = std::min(begin + kTile, length);
      for (int64_t f = 0; f < count; ++f) {
        for (int64_t t = begin; t < end; ++t) rows[f * n + t] = scale * data[t * width + f];
      }
    }
    for (int64_t f = 0; f < count; ++f) std::fill(rows + f * n + length, rows + (f + 1) * n, 0.0f);
  }
  /// The other way round; += if `add`.
  void FromRows(int64_t length, int64_t n, const float* rows, bool add) const {
    constexpr int64_t kTile = 16;
    for (int64_t begin = 0; begin < length; begin += kTile) {
      const int64_t end = std::min(begin + kTile, length);
      for (int64_t f = 0; f < count; ++f) {
        for (int64_t t = begin; t < end; ++t) {
          float& to = data[t * width + f];
          to = add ? to + rows[f * n + t] : rows[f * n + t];
        }
      }
    }
  }
};

/// Sequences whose transforms have the same size.
struct Group {
  int64_t size;
  std::vector<int> sequences;
  int64_t frequencies() const { return size / 2 + 1; }
  /// How much of a kernel of `length` the longest of them can see.
  int64_t Seen(int64_t length) const { return std::min(length, size / 2); }
};

std::vector<Group> GroupsOf(const Sequences& sequences) {
  std::vector<Group> groups;
  for (int s = 0; s < sequences.sequences(); ++s) {
    const int64_t size = FftSize(2 * int64_t{sequences.length(s)});
    auto group = std::ranges::find(groups, size, &Group::size);
    if (group == groups.end()) group = groups.insert(group, {size, {}});
    group->sequences.push_back(s);
  }
  return groups;
}

/// Rows of numbers, and what they are transformed to.
struct Rows {
  int64_t size, count;
  hwy::AlignedFreeUniquePtr<float[]> x;
  hwy::AlignedFreeUniquePtr<std::complex<float>[]> X;

  Rows(const Group& group, int64_t features)
      : size(group.size),
        count(features),
        x(hwy::AllocateAligned<float>(size * count)),
        X(hwy::AllocateAligned<std::complex<float>>(group.frequencies() * count + kMostLanes)) {
    std::fill_n(X.get() + group.frequencies() * count, kMostLanes, std::complex<float>());
  }
  int64_t numbers() const { return (size / 2 + 1) * count; }
  float* spectrum() const { return reinterpret_cast<float*>(X.get()); }
  void Transform(const Columns& columns, int64_t length, float scale = 1) const {
    columns.ToRows(length, size, scale, x.get());
    Fft(size, count, x.get(), X.get());
  }
  void Return(const Columns& columns, int64_t length, bool add = false) const {
    InverseFft(size, count, X.get(), x.get());
    columns.FromRows(length, size, x.get(), add);
  }
};

/// Calls body(first, count) for blocks of features, in parallel.
template <class Body>
void ForBlocks(const Tensor& u, const Body& body) {
  const int64_t width = u.dim(1), blocks = (width + kFeatures - 1) / kFeatures;
  ParallelFor(blocks, std::max<int64_t>(1, kGrainElements / std::max<int64_t>(1, u.dim(0) * kFeatures)),
              [&](int64_t begin, int64_t end) {
                for (int64_t block = begin; block < end; ++block) {
                  const int64_t first = block * kFeatures;
                  body(first, std::min(kFeatures, width - first));
                }
              });
}

}  // namespace

void CpuBackend::LongConvolution(const Tensor& u, const Tensor& K, const Sequences& sequences,
                                 const Tensor& y) {
  const std::vector<Group> groups = GroupsOf(sequences);
  ForBlocks(u, [&](int64_t first, int64_t count) {
    for (const Group& group : groups) {
      const Rows kernel(group, count), signal(group, count);
      kernel.Transform({K, 0, first, count}, group.Seen(K.dim(0)), 1 / static_cast<float>(group.size));
      for (int s : group.sequences) {
        const int64_t row = sequences.start[s], length = sequences.length(s);
        signal.Transform({u, row, first, count}, length);
        HWY_DYNAMIC_DISPATCH(Product)
        (signal.spectrum(), kernel.spectrum(), signal.spectrum(), signal.numbers());
        signal.Return({y, row, first, count}, length);
      }
    }
  });
}

void CpuBackend::LongConvolutionBackward(const Tensor& u, const Tensor& K, const Sequences& sequences,
                                         const Tensor& dy, const Tensor& du, const Tensor& dK) {
  const std::vector<Group> groups = GroupsOf(sequences);
  ForBlocks(u, [&](int64_t first, int64_t count) {
    for (const Group& group : groups) {
      const Rows kernel(group, count), signal(group, count), arrived(group, count), sum(group, count);
      const int64_t seen = group.Seen(K.dim(0));
      const float scale = 1 / static_cast<float>(group.size);
      kernel.Transform({K, 0, first, count}, seen);
      std::fill_n(sum.X.get(), sum.numbers(), std::complex<float>());
      for (int s : group.sequences) {
        const int64_t row = sequences.start[s], length = sequences.length(s);
        signal.Transform({u, row, first, count}, length);
        arrived.Transform({dy, row, first, count}, length, scale);
        HWY_DYNAMIC_DISPATCH(ProductBackward)
        (signal.spectrum(), kernel.spectrum(), arrived.spectrum(), sum.spectrum(), sum.numbers());
        arrived.Return({du, row, first, count}, length);
      }
      sum.Return({dK, 0, first, count}, seen, /*add=*/true);
    }
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
