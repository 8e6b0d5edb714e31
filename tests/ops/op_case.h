// One harness for every op: a case is inputs, the op, and its naive reference on doubles. From these follow
//  - the value check: op(inputs) against reference(inputs);
//  - the gradient check: what Backward gives for L = sum_i c_i output_i, with random c, against central
//  differences of the
//    reference, which in double precision are good to eight digits.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace linnet {

using reference::Values;
using Outputs = std::vector<Values>;

struct OpCase {
  std::string name;
  std::vector<Tensor> inputs;
  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> op;
  std::function<Outputs(const std::vector<Values>&)> reference;
  double value_tolerance = 2e-6;     // of the largest output
  double gradient_tolerance = 2e-5;  // norm of the difference over the norm
};

/// Normal numbers times `scale`.
inline Tensor RandomTensor(const Shape& shape, uint64_t seed, double scale = 1) {
  const Tensor t = Tensor::Empty(shape);
  Random random(seed);
  for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(scale * random.Normal());
  return t;
}

inline Values ToValues(const Tensor& t) { return {t.data(), t.data() + t.size()}; }

inline std::vector<Values> ToValues(const std::vector<Tensor>& tensors) {
  std::vector<Values> values;
  for (const Tensor& t : tensors) values.push_back(ToValues(t));
  return values;
}

inline double Norm(const Values& v) {
  double squares = 0;
  for (double x : v) squares += x * x;
  return std::sqrt(squares);
}

void CheckValues(const OpCase& c);
void CheckGradients(const OpCase& c);

inline void Check(const OpCase& c) {
  SCOPED_TRACE(c.name);
  CheckValues(c);
  CheckGradients(c);
}

}  // namespace linnet
