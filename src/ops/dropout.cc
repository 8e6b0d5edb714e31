#include "ops/dropout.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/hash.h"
#include "base/parallel.h"
#include "base/random.h"
#include "ops/adapter_dropout.h"
#include "ops/internal.h"

namespace linnet::ops {
namespace {

thread_local DropoutMask in_scope;
thread_local const AdapterDropoutScope* of_adapters = nullptr;

/// The key of a site's (or an adapter's) random numbers, one stream of which belongs to each row. Those that
/// choose a step's data have the seed itself for a key.
uint64_t KeyOf(const DropoutMask& mask, int site, const char* kind) {
  const uint64_t parts[] = {mask.seed, mask.step, static_cast<uint64_t>(site)};
  return Hash({reinterpret_cast<const char*>(parts), sizeof parts}, Hash(kind));
}

/// What becomes of an element x: `dropped`, or `scale` x.
struct Fates {
  float dropped, scale;
};

void Apply(const DropoutMask& mask, uint64_t key, Fates fates, const Tensor& x, const Tensor& y) {
  const int64_t width = x.dim(-1), rows = x.size() / width;
  const auto least = static_cast<uint32_t>(std::ldexp(double{mask.probability}, 32));
  ParallelFor(rows, std::max<int64_t>(1, 4096 / width), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t number = mask.rows ? (*mask.rows)[row] : row;
      Random random(key, static_cast<uint64_t>(mask.first_row + number));
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        y.data()[i] = random.Bits() >= least ? fates.scale * x.data()[i] : fates.dropped;
      }
    }
  });
}

void CheckRows(const DropoutMask& mask, int64_t rows) {
  Check(!mask.rows || static_cast<int64_t>(mask.rows->size()) == rows,
        "[dropout] the mask in scope is for another batch");
}

void CheckProbability(float p) {
  Check(p >= 0 && p < 1, "[dropout] a probability lies in [0, 1), {} does not", p);
}

/// x with the mask, where `of_gradients` is what becomes of the gradients.
Tensor Masked(const Tensor& x, int site, const DropoutMask& mask, Fates fates, Fates of_gradients) {
  CheckRows(mask, x.dim(0));
  const uint64_t key = KeyOf(mask, site, "dropout");
  const Tensor y = Tensor::Empty(x.shape());
  Apply(mask, key, fates, x, y);
  if (Tape* tape = Tape::For(x)) {
    tape->Record([mask, key, of_gradients, gx = x.gradient(), gy = y.Track()] {
      if (!gy->value) return;
      const Tensor dx = Tensor::Empty(gy->value.shape());
      Apply(mask, key, of_gradients, gy->value, dx);
      Accumulate(gx, dx);
    });
  }
  return y;
}

}  // namespace

DropoutScope::DropoutScope(const DropoutMask& mask) : outer_(in_scope) {
  CheckProbability(mask.probability);
  in_scope = mask;
}
DropoutScope::~DropoutScope() { in_scope = outer_; }

DropoutRows::DropoutRows(std::shared_ptr<const std::vector<int64_t>> rows)
    : outer_(std::exchange(in_scope.rows, std::move(rows))) {}
DropoutRows::~DropoutRows() { in_scope.rows = std::move(outer_); }

Tensor Dropout(const Tensor& x, int site) {
  const DropoutMask mask = in_scope;
  if (mask.probability == 0) return x;
  const Fates fates{0, 1 / (1 - mask.probability)};
  return Masked(x, site, mask, fates, fates);
}

Tensor Zoneout(const Tensor& f, int site) {
  const DropoutMask mask = in_scope;
  if (mask.probability == 0) return f;
  return Masked(f, site, mask, {1, 1}, {0, 1});
}

AdapterDropoutScope::AdapterDropoutScope(float probability, std::span<const Tensor> factors)
    : probability_(probability), outer_(of_adapters) {
  CheckProbability(probability);
  for (const Tensor& a : factors) numbers_.emplace(a.raw(), static_cast<int>(numbers_.size()));
  of_adapters = this;
}
AdapterDropoutScope::~AdapterDropoutScope() { of_adapters = outer_; }

AdapterDropout::AdapterDropout(const Tensor& a, int64_t rows) {
  if (of_adapters == nullptr || of_adapters->probability_ == 0) return;
  const auto number = of_adapters->numbers_.find(a.raw());
  if (number == of_adapters->numbers_.end()) return;
  mask_ = in_scope;
  mask_.probability = of_adapters->probability_;
  number_ = number->second;
  CheckRows(mask_, rows);
}

Tensor AdapterDropout::operator()(const Tensor& x) const {
  if (!any()) return x;
  const Tensor y = Tensor::Empty(x.shape());
  Apply(mask_, KeyOf(mask_, number_, "dropout of adapters"), {0, 1 / (1 - mask_.probability)}, x, y);
  return y;
}

}  // namespace linnet::ops
