// Modules that several architectures share.
#pragma once

#include "nn/params.h"
#include "ops/ops.h"

namespace linnet {

/// LayerNorm with its parameters.
struct Norm {
  Tensor weight, bias;
  Norm(const Params& p, Dim width)
      : weight(p.Vector("weight", {width}, init::Constant(1))),
        bias(p.Vector("bias", {width}, init::Zero())) {}
  Tensor operator()(const Tensor& x) const { return ops::LayerNorm(x, weight, bias); }
};

/// offset + f(x down) up, through g: a map of low rank, as [in, out] factors. The offset may be empty.
struct LowRank {
  Tensor down, up, offset;
  Tensor operator()(const Tensor& x, ops::Act f, ops::Act g = ops::Act::kNone) const {
    return ops::Linears({Up(ops::Linears({Down(x, f)})[0], g)})[0];
  }
  /// Its halves, for those who compute several maps together.
  ops::Product Down(const Tensor& x, ops::Act f = ops::Act::kNone) const {
    return {x, down, {}, f, ops::WeightLayout::kInOut};
  }
  ops::Product Up(const Tensor& z, ops::Act g = ops::Act::kNone) const {
    return {z, up, offset, g, ops::WeightLayout::kInOut};
  }
};

}  // namespace linnet
