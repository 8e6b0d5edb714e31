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
    constexpr auto kInOut = ops::WeightLayout::kInOut;
    return ops::Linear(ops::Linear(x, down, {}, f, kInOut), up, offset, g, kInOut);
  }
};

}  // namespace linnet
