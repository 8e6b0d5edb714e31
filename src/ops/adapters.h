// Adapters of low rank (LoRA; Hu et al., arXiv:2106.09685): a weight stays as it is, of any type, and
// products with it get a small addition,
//
//     y = act(x W^T + sum over its adapters of scale (x A^T) B^T + bias)        A [rank, in], B [out, rank]
//
// Models do not know of them: while an AdaptersInForce is in scope, ops::Linears looks up each weight. All of
// an addition is float32 and computed like any product, so that rows stay independent of each other, and
// gradients flow to A, B and x.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "tensor/tensor.h"

namespace linnet {

struct Adapter {
  Tensor a, b;  // [rank, in] and [out, rank], f32
  float scale = 1;
};

/// The adapters of some weights.
class Adapters {
 public:
  /// Adds one to those of `weight` [out, in], which this keeps alive. Throws Error unless the shapes fit.
  void Add(const Tensor& weight, const Adapter& adapter);
  /// Those of a weight, known by its storage.
  std::span<const Adapter> Of(const Tensor& weight) const;
  /// Number of weights that have any.
  size_t size() const { return entries_.size(); }

  /// Those in force on this thread, or null.
  static const Adapters* InForce();

 private:
  struct Entry {
    Tensor weight;
    std::vector<Adapter> adapters;
  };
  std::unordered_map<const void*, Entry> entries_;
};

/// Throws Error, starting with [op], if `weight` has an adapter in force: for ops that multiply with it step
/// by step, where additions have no place.
void CheckNoAdapter(const char* op, const Tensor& weight);

/// While in scope, the products of this thread get the additions of `adapters`, which must live as long; null
/// for none.
class AdaptersInForce {
 public:
  explicit AdaptersInForce(const Adapters* adapters);
  ~AdaptersInForce();
  AdaptersInForce(const AdaptersInForce&) = delete;
  AdaptersInForce& operator=(const AdaptersInForce&) = delete;

 private:
  const Adapters* outer_;
};

}  // namespace linnet
