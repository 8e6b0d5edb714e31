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

}  // namespace linnet
