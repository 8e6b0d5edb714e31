// What follows a state space in its layer, where its nonlinearity is: y -> GELU -> a gated linear unit,
// (W_1 g) * sigmoid(W_2 g).
#pragma once

#include "models/layer_stack.h"

namespace linnet::models {

struct GatedUnit {
  Tensor W_1, W_2;
  GatedUnit(const Params& p, Dim width, Dim layers)
      : W_1(p.Matrix("glu.value.weight", {width, width}, OfBranch(layers))),
        W_2(p.Matrix("glu.gate.weight", {width, width}, OfInputs(width))) {}

  Tensor operator()(const Tensor& y) const {
    const Tensor g = ops::Gelu(y);
    const auto parts = ops::Linears({{g, W_1}, {g, W_2}});
    return ops::Gate(parts[0], parts[1], GateKind::kSigmoid);
  }
};

}  // namespace linnet::models
