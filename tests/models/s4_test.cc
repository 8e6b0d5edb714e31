// What S4 computes, held against what its paper says it computes: HiPPO-LegS as a dense matrix, cut into
// steps by the bilinear rule; and its convolution against its recurrence.
#include <gtest/gtest.h>

#include <cmath>

#include "nn/model.h"
#include "ops/ops.h"

namespace linnet {
namespace {

LoadedModel SmallModel(Dim state) {
  const Architecture& s4 = FindArchitecture("s4");
  return NewModel(s4, s4.complete_sizes({{"layers", 2}, {"width", 20}, {"vocab", 31}, {"state", state}}), 1);
}

Tensor ParameterOf(const LoadedModel& model, const std::string& name) {
  for (const Parameter& p : model.params->parameters()) {
    if (p.name == name) return p.tensor;
  }
  throw Error("no parameter " + name);
}

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;

/// The solution of a x = b.
Vector Solve(Matrix a, Vector b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i) {
    size_t pivot = i;
    for (size_t j = i; j < n; ++j) pivot = std::abs(a[j][i]) > std::abs(a[pivot][i]) ? j : pivot;
    std::swap(a[i], a[pivot]);
    std::swap(b[i], b[pivot]);
    for (size_t j = 0; j < n; ++j) {
      if (j == i) continue;
      const double factor = a[j][i] / a[i][i];
      for (size_t k = i; k < n; ++k) a[j][k] -= factor * a[i][k];
      b[j] -= factor * b[i];
    }
  }
  for (size_t i = 0; i < n; ++i) b[i] /= a[i][i];
  return b;
}

Vector Times(const Matrix& a, const Vector& x) {
  Vector y(a.size());
  for (size_t i = 0; i < y.size(); ++i) {
    for (size_t j = 0; j < x.size(); ++j) y[i] += a[i][j] * x[j];
  }
  return y;
}

/// I + factor A of HiPPO-LegS.
Matrix StepOfLegS(size_t n, double factor) {
  Matrix a(n, Vector(n));
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) a[i][k] = -factor * std::sqrt((2.0 * i + 1) * (2.0 * k + 1));
    a[i][i] = 1 - factor * (static_cast<double>(i) + 1);
  }
  return a;
}

// The output, too, is taken to be P, which is known in both coordinates.
TEST(S4, BeginsAsHippoCutIntoStepsByTheBilinearRule) {
  constexpr Dim kState = 16, kLength = 200, kModes = kState / 2, kWidth = 20;
  const LoadedModel model = SmallModel(kState);
  const auto of_layer = [&](const std::string& name) { return ParameterOf(model, "blocks.1.s4." + name); };
  const Tensor P = of_layer("P"), step = of_layer("log_dt"), c = Tensor::Zeros({2, kModes, kWidth});
  for (Dim i = 0; i < kModes * kWidth; ++i) c.data()[i] = P.data()[i / kWidth];
  const Tensor K = ops::DplrKernel(
      ops::Bilinear({of_layer("A_re"), of_layer("A_im"), P, of_layer("B"), step}, c), kLength);
  for (Dim h = 0; h < kWidth; ++h) {
    const double Delta = std::exp(step.data()[h]);
    const Matrix before = StepOfLegS(kState, Delta / 2), after = StepOfLegS(kState, -Delta / 2);
    Vector x(kState), output(kState);
    for (Dim n = 0; n < kState; ++n) {
      x[n] = Delta * std::sqrt(2.0 * n + 1);
      output[n] = std::sqrt(n + 0.5);
    }
    x = Solve(after, x);
    for (Dim l = 0; l < kLength; ++l) {
      double y = 0;
      for (Dim n = 0; n < kState; ++n) y += output[n] * x[n];
      ASSERT_NEAR(K.data()[l * kWidth + h], y, 2e-5)
          << "feature " << h << ", step " << Delta << ", row " << l;
      x = Solve(after, Times(before, x));
    }
  }
}

TEST(S4, TrainsByTheConvolutionThatItsRecurrenceIs) {
  const LoadedModel model = SmallModel(8);
  Batch batch;
  for (int length : {1, 100, 37}) {
    std::vector<int> tokens;
    for (int i = 0; i < length; ++i) tokens.push_back((i * i * 7 + length) % 31);
    batch.Append(tokens, batch.sequences());
  }
  const Tensor by_recurrence = model.model->Hidden(batch, model.NewState(3));
  Tape tape;
  const State state = model.NewState(3, State::Mode::kKeepInitial);
  const Tensor by_convolution = model.model->Hidden(batch, state);
  double difference = 0;
  for (Dim i = 0; i < by_recurrence.size(); ++i) {
    difference = std::max<double>(difference, std::abs(by_recurrence.data()[i] - by_convolution.data()[i]));
  }
  EXPECT_GT(difference, 0) << "both went the same way";
  EXPECT_LE(difference, 1e-5);
}

}  // namespace
}  // namespace linnet
