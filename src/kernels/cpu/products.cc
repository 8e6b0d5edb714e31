// The loops around the kernels: what stays in which cache, and which thread does which columns.
#include "kernels/cpu/products.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/parallel.h"
#include "kernels/cpu/avx512.h"
#include "kernels/cpu/blocks.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

/// Columns are given to threads by cache lines of c; where b's rows are read across, in longer pieces.
constexpr int64_t kColumnUnit = 16, kWideColumnUnit = 256;
/// Bytes of weights that are worth handing to a thread.
constexpr int64_t kGrainBytes = 1 << 17;
/// Stretch of K whose tile of a and b stays in the first-level cache.
constexpr int64_t kStretch = 2048;
/// Bytes of rows of b that many rows of a pass by while they stay in the second-level cache.
constexpr int64_t kPanelBytes = 1 << 18;
constexpr int64_t kMostPanelColumns = 64;
/// Up to so many rows of a, reading weights takes a good part of the time.
constexpr int64_t kFewRows = 64;

int64_t RoundUp(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

#ifdef LINNET_AVX512_BF16
bool Avx512() { return HasAvx512Bf16(); }
void Multiply(const ProductTile<Bf16>& tile) { Avx512() ? MultiplyTileAvx512(tile) : MultiplyTile(tile); }
#else
bool Avx512() { return false; }
void Multiply(const ProductTile<Bf16>& tile) { MultiplyTile(tile); }
void DecodeAvx512(DType, const void*, int64_t, Bf16*) {}
void MultiplyRowAvx512(DType, const void*, int64_t, int64_t, const Bf16*, float*, int64_t) {}
#endif
void Multiply(const ProductTile<float>& tile) { MultiplyTile(tile); }

/// Memory that a thread uses again and again, aligned to a cache line.
template <class T>
T* Scratch(int64_t count) {
  thread_local std::unique_ptr<std::byte, decltype(&std::free)> memory(nullptr, std::free);
  thread_local size_t capacity = 0;
  const size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 63) / 64 * 64;
  if (bytes > capacity) {
    memory.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes)));
    Check(memory != nullptr, "[linear] the system has no {} bytes left", bytes);
    capacity = bytes;
  }
  return reinterpret_cast<T*>(memory.get());
}

/// Rows of a weight matrix.
struct Rows {
  explicit Rows(const Tensor& b)
      : data(static_cast<const std::byte*>(b.raw())),
        type(b.dtype()),
        k(b.dim(1)),
        bytes(static_cast<int64_t>(b.bytes()) / std::max<int64_t>(1, b.dim(0))) {}
  const std::byte* data;
  DType type;
  int64_t k, bytes;  // of one row
  const std::byte* At(int64_t n) const { return data + n * bytes; }
};

void DecodeRow(const Rows& b, int64_t n, float* to) { std::memcpy(to, b.At(n), b.k * sizeof(float)); }

void DecodeRow(const Rows& b, int64_t n, Bf16* to) {
  if (b.type == DType::kBf16) {
    std::memcpy(to, b.At(n), b.k * sizeof(Bf16));
  } else if (Avx512() && b.k % kTileStep == 0) {
    DecodeAvx512(b.type, b.At(n), b.k, to);
  } else if (b.type == DType::kF16) {
    const F16* from = reinterpret_cast<const F16*>(b.At(n));
    for (int64_t i = 0; i < b.k; ++i) to[i] = ToBf16(ToFloat(from[i]));
  } else {
    thread_local std::vector<float> values;
    values.resize(b.k);
    DecodeBlocks(b.type, b.At(n), b.k / Traits(b.type).values_per_block, values.data());
    for (int64_t i = 0; i < b.k; ++i) to[i] = ToBf16(values[i]);
  }
}

/// A product, K padded to whole steps.
template <class T>
struct Product {
  const T* a;  // [m, k]
  int64_t m, k;
  Rows b;
  float* c;
  int64_t n;
  bool in_place;  // rows of b can be used as they lie

  /// Columns [begin, end) of c.
  void Run(int64_t begin, int64_t end) const {
    const int64_t columns_in_cache =
        kPanelBytes / (k * static_cast<int64_t>(sizeof(T))) / kTileColumns * kTileColumns;
    const int64_t most = m <= kTileMostRows
                             ? kTileColumns
                             : std::clamp<int64_t>(columns_in_cache, kTileColumns, kMostPanelColumns);
    for (int64_t at = begin; at < end; at += most) Panel(at, std::min(most, end - at));
  }

 private:
  /// All rows of some columns of c.
  void Panel(int64_t column, int64_t columns) const {
    const int64_t padded = RoundUp(columns, kTileColumns);
    T* memory = Scratch<T>(padded * k + (kTileSums * kMostPanelColumns / kTileColumns) * 4 / sizeof(T));
    const T* rows = memory;
    if (in_place && padded == columns) {
      rows = reinterpret_cast<const T*>(b.At(column));
    } else {
      for (int64_t i = 0; i < columns; ++i) {
        DecodeRow(b, column + i, memory + i * k);
        std::fill_n(memory + i * k + b.k, k - b.k, T{});
      }
      std::fill_n(memory + columns * k, (padded - columns) * k, T{});
    }
    auto* sums = reinterpret_cast<float*>(memory + padded * k);
    const int64_t strips = (m + kTileMostRows - 1) / kTileMostRows;
    NextPanel next(b.At(column + columns), std::min(columns, n - column - columns) * b.bytes,
                   strips * (padded / kTileColumns) * ((k + kStretch - 1) / kStretch));
    for (int64_t row = 0; row < m; row += kTileMostRows) Strip(rows, row, column, columns, sums, next);
  }

  /// The weights of the next panel, fetched a few lines a tile: memory works while the tiles compute.
  class NextPanel {
   public:
    NextPanel(const std::byte* data, int64_t bytes, int64_t tiles)
        : at_(data), end_(data + bytes), step_(RoundUp(bytes / tiles + 1, kLine)) {}
    void FetchSome() {
      const std::byte* stop = std::min(end_, at_ + step_);
      for (; at_ < stop; at_ += kLine) __builtin_prefetch(at_, 0, 2);
    }

   private:
    static constexpr int64_t kLine = 64;
    const std::byte *at_, *end_;
    int64_t step_;
  };

  /// A few rows by the columns of a panel.
  void Strip(const T* rows, int64_t row, int64_t column, int64_t columns, float* sums,
             NextPanel& next) const {
    for (int64_t at = 0; at < k; at += kStretch) {
      for (int64_t i = 0; i < columns; i += kTileColumns) {
        next.FetchSome();
        Multiply(ProductTile<T>{.a = a + row * k + at,
                                .b = rows + i * k + at,
                                .a_stride = k,
                                .b_stride = k,
                                .k = std::min(kStretch, k - at),
                                .rows = static_cast<int>(std::min<int64_t>(kTileMostRows, m - row)),
                                .sums = sums + i / kTileColumns * kTileSums,
                                .first = at == 0,
                                .last = at + kStretch >= k,
                                .c = c + row * n + column + i,
                                .c_stride = n,
                                .columns = static_cast<int>(std::min<int64_t>(kTileColumns, columns - i))});
      }
    }
  }
};

/// A product cut into ranges of columns.
struct Columns {
  int64_t n, unit;  // a range is some whole units of columns
  int parts;
  std::function<void(int64_t begin, int64_t end)> run;

  /// There are more parts than threads, as cores that share a memory are not equally fast at all times.
  Columns(int64_t n, int64_t unit, int64_t bytes, std::function<void(int64_t, int64_t)> run)
      : n(n),
        unit(unit),
        parts(static_cast<int>(std::clamp<int64_t>(bytes / kGrainBytes, 1, (n + unit - 1) / unit))),
        run(std::move(run)) {}

  void RunPart(int part) const {
    const int64_t units = (n + unit - 1) / unit;
    run(units * part / parts * unit, std::min(n, units * (part + 1) / parts * unit));
  }
};

/// What this thread multiplied with after what. A model reads the same weights in the same order for every
/// token, so that the next ones are known while others are still being read.
class Order {
 public:
  /// Notes that products with these weights come now. Returns those that followed them the last time.
  std::span<const Ahead> Next(std::span<const Projection> products) {
    std::vector<Ahead>& now = after_[last_];
    now.clear();
    for (const Projection& p : products) {
      now.push_back({static_cast<const std::byte*>(p.w.raw()), static_cast<int64_t>(p.w.bytes())});
    }
    last_ = now.front().data;
    const auto next = after_.find(last_);
    if (next != after_.end()) return next->second;
    if (after_.size() > kMost) after_.clear();  // of models that are gone
    return {};
  }

 private:
  static constexpr size_t kMost = 10000;
  std::unordered_map<const std::byte*, std::vector<Ahead>> after_;
  const std::byte* last_ = nullptr;
};

/// Runs all parts of all products.
void RunAll(std::span<const Columns> products, std::span<const Ahead> ahead) {
  int parts = 0;
  for (const Columns& product : products) parts += product.parts;
  const auto run = [&](int, int64_t begin, int64_t end) {
    int first = 0;
    for (const Columns& product : products) {
      for (int64_t part = std::max<int64_t>(begin, first);
           part < std::min<int64_t>(end, first + product.parts); ++part) {
        product.RunPart(static_cast<int>(part - first));
      }
      first += product.parts;
    }
  };
  ParallelParts(parts, Threads() == 1 ? 1 : parts, run, ahead);
}

/// `a` with its rows padded by zeros to `k` elements.
Tensor Padded(const Tensor& a, int64_t m, int64_t k) {
  const int64_t from = a.size() / m, size = Traits(a.dtype()).bytes_per_block;
  const Tensor padded = Tensor::Zeros({m, k}, a.dtype());
  for (int64_t i = 0; i < m; ++i) {
    std::memcpy(static_cast<std::byte*>(padded.raw()) + i * k * size,
                static_cast<const std::byte*>(a.raw()) + i * from * size, from * size);
  }
  return padded;
}

template <class T>
Columns MultiplyRows(const Tensor& a, const Rows& b, const Tensor& c) {
  const int64_t m = c.dim(0), n = c.dim(1), k = RoundUp(b.k, kTileStep);
  const Tensor padded = k == b.k ? a : Padded(a, m, k);
  const Product<T> product{padded.data<T>(), m, k, b, c.data(), n, b.type == kDTypeOf<T> && k == b.k};
  const int64_t unit = m <= kTileMostRows ? kColumnUnit : kMostPanelColumns;
  return {n, unit, n * b.bytes, [padded, product](int64_t begin, int64_t end) { product.Run(begin, end); }};
}

/// One row of a times rows that are unpacked in registers.
Columns MultiplyRow(const Tensor& a, const Rows& b, const Tensor& c) {
  return {c.dim(1), kColumnUnit, c.dim(1) * b.bytes, [a, b, c](int64_t begin, int64_t end) {
            MultiplyRowAvx512(b.type, b.At(begin), b.bytes, b.k, a.data<Bf16>(), c.data() + begin,
                              end - begin);
          }};
}

Columns RowProduct(const Tensor& a, const Tensor& b, const Tensor& c) {
  const Rows rows(b);
  if (rows.type == DType::kF32) return MultiplyRows<float>(a, rows, c);
  if (c.dim(0) == 1 && Avx512() && rows.k % kTileStep == 0) return MultiplyRow(a, rows, c);
  return MultiplyRows<Bf16>(a, rows, c);
}

Columns ColumnProduct(const Tensor& a, const Tensor& b, const Tensor& c) {
  Tensor values = a;
  if (a.dtype() != DType::kF32) {
    values = Tensor::Empty(a.shape());
    Backend::For(a.device()).Convert(a, values);
  }
  return {b.dim(1), kWideColumnUnit, static_cast<int64_t>(b.bytes()),
          [values, b, c](int64_t begin, int64_t end) { MultiplyColumns(values.data(), b, c, begin, end); }};
}

}  // namespace

void CpuBackend::Project(std::span<const Projection> products) {
  std::vector<Columns> columns;
  for (const Projection& p : products) {
    columns.push_back(p.out_in ? RowProduct(p.x, p.w, p.y) : ColumnProduct(p.x, p.w, p.y));
  }
  thread_local Order order;
  // Many rows are a matter of arithmetic.
  const bool few = !products.empty() && products[0].y.dim(0) <= kFewRows;
  RunAll(columns, few ? order.Next(products) : std::span<const Ahead>());
}

}  // namespace linnet
