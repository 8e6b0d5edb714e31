#include "ops/op_case.h"

namespace linnet {
namespace {

/// Copies of the inputs that track their gradients.
std::vector<Tensor> Tracked(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> copies;
  for (const Tensor& t : inputs) {
    copies.push_back(t.Clone());
    copies.back().Track();
  }
  return copies;
}

/// The weights c of the scalar that is differentiated.
std::vector<Tensor> Weights(const std::vector<Tensor>& outputs) {
  std::vector<Tensor> weights;
  for (const Tensor& t : outputs) weights.push_back(RandomTensor(t.shape(), 1000 + weights.size()));
  return weights;
}

double Weighted(const std::vector<Values>& outputs, const std::vector<Tensor>& weights) {
  double sum = 0;
  for (size_t o = 0; o < outputs.size(); ++o) {
    for (size_t i = 0; i < outputs[o].size(); ++i) sum += outputs[o][i] * weights[o].data()[i];
  }
  return sum;
}

}  // namespace

void CheckValues(const OpCase& c) {
  const std::vector<Tensor> outputs = c.op(c.inputs);
  const std::vector<Values> expected = c.reference(ToValues(c.inputs));
  ASSERT_EQ(outputs.size(), expected.size());
  for (size_t o = 0; o < outputs.size(); ++o) {
    ASSERT_EQ(static_cast<size_t>(outputs[o].size()), expected[o].size()) << "output " << o;
    double largest = 1e-30, error = 0;
    for (size_t i = 0; i < expected[o].size(); ++i) {
      largest = std::max(largest, std::abs(expected[o][i]));
      error = std::max(error, std::abs(expected[o][i] - outputs[o].data()[i]));
    }
    EXPECT_LE(error / largest, c.value_tolerance) << "output " << o;
  }
}

void CheckGradients(const OpCase& c) {
  const std::vector<Tensor> inputs = Tracked(c.inputs);
  std::vector<Tensor> weights;
  {
    Tape tape;
    const std::vector<Tensor> outputs = c.op(inputs);
    weights = Weights(outputs);
    for (size_t o = 0; o < outputs.size(); ++o) Accumulate(outputs[o].gradient(), weights[o]);
    tape.Backward();
  }
  std::vector<Values> at = ToValues(c.inputs);
  for (size_t n = 0; n < inputs.size(); ++n) {
    ASSERT_TRUE(inputs[n].grad()) << "input " << n << " got no gradient";
    Values difference, numeric;
    const size_t samples = at[n].size() > 2000 ? 12 : 60;  // of a large input, whose reference is slow, fewer
    const size_t stride = std::max<size_t>(1, at[n].size() / samples);
    for (size_t i = n % stride; i < at[n].size(); i += stride) {
      const double keep = at[n][i], h = 1e-5 * std::max(1.0, std::abs(keep));
      at[n][i] = keep + h;
      const double up = Weighted(c.reference(at), weights);
      at[n][i] = keep - h;
      const double down = Weighted(c.reference(at), weights);
      at[n][i] = keep;
      numeric.push_back((up - down) / (2 * h));
      difference.push_back(numeric.back() - inputs[n].grad().data()[i]);
    }
    EXPECT_LE(Norm(difference), c.gradient_tolerance * Norm(numeric) + 1e-9) << "gradient of input " << n;
  }
}

}  // namespace linnet
