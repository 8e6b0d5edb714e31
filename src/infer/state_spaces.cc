#include "infer/state_spaces.h"

#include <cmath>

#include "base/check.h"
#include "ops/ops.h"

namespace linnet {
namespace {

using Number = std::complex<double>;

/// The parameters of an architecture's eigenvalues, below blocks.N.
struct Parameters {
  const char *re, *im, *step;
  EigenKind kind;
};
constexpr Parameters kParameters[] = {
    {"lru.nu", "lru.theta", "", EigenKind::kExp},
    {"lru.nu_log", "lru.theta_log", "", EigenKind::kStable},
    {"s4d.A_re", "s4d.A_im", "s4d.log_dt", EigenKind::kZeroOrderHold},
    {"s5.Lambda_re", "s5.Lambda_im", "s5.log_step", EigenKind::kZeroOrderHold},
};

std::string Block(size_t layer) { return fmt::format("blocks.{}.", layer); }

/// As f32 of the file's shape; empty if there is no such tensor.
Tensor Floats(const Checkpoint& checkpoint, const std::string& name) {
  if (checkpoint.Find(name) == nullptr) return {};
  const Tensor tensor = checkpoint.Load(name);
  Check(IsReal(tensor.dtype()), "{}: {} holds {}, which are no weights", checkpoint.path().string(), name,
        Traits(tensor.dtype()).name);
  Check(tensor.size() > 0, "{}: {} is empty", checkpoint.path().string(), name);
  const Tensor wide = Tensor::Empty(tensor.shape());
  Backend::For(Device::kCpu).Convert(tensor, wide);
  return wide;
}

/// The same, which must be there and have as many numbers as the shape.
Tensor Floats(const Checkpoint& checkpoint, const std::string& name, const Shape& shape) {
  const Tensor tensor = Floats(checkpoint, name);
  Check(static_cast<bool>(tensor), "{}: the tensor {} is missing", checkpoint.path().string(), name);
  Check(tensor.size() == shape.size(), "{}: {} must be {} but has {} numbers", checkpoint.path().string(),
        name, shape, tensor.size());
  return tensor.Reshape(shape);
}

/// Parameters of an S4, sizes checked: C says that the file has a number for each mode of each feature.
struct S4Parameters {
  DplrParameters p;
  Tensor C;  // [2, M, H]
};

S4Parameters ParametersOfS4(const Checkpoint& checkpoint, const std::string& s4) {
  const auto count = [&](const char* name) {
    const Checkpoint::Entry* entry = checkpoint.Find(s4 + name);
    return entry != nullptr ? entry->shape.size() : 0;
  };
  const Dim M = count("A_re"), H = count("log_dt");
  const auto load = [&](const char* name, const Shape& shape) {
    return Floats(checkpoint, s4 + name, shape);
  };
  return {{load("A_re", {M}), load("A_im", {M}), load("P", {2, M}), load("B", {2, M}), load("log_dt", {H})},
          load("C", {2, M, H})};
}

/// Of the diagonal of an S4, of each of its modes in each feature's steps.
std::vector<Number> DiagonalOfS4(const Checkpoint& checkpoint, const std::string& s4) {
  const DplrParameters p = ParametersOfS4(checkpoint, s4).p;
  std::vector<Number> values;
  for (Dim m = 0; m < p.re.size(); ++m) {
    const Number lambda(-std::exp(static_cast<double>(p.re.data()[m])), p.im.data()[m]);
    for (Dim h = 0; h < p.step.size(); ++h) {
      const Number half = std::exp(static_cast<double>(p.step.data()[h])) / 2 * lambda;
      values.push_back((1.0 + half) / (1.0 - half));
    }
  }
  return values;
}

/// [length][H] as a list a feature.
std::vector<std::vector<double>> ByFeature(const Tensor& K) {
  std::vector<std::vector<double>> kernels(K.dim(1));
  for (Dim i = 0; i < K.size(); ++i) kernels[i % K.dim(1)].push_back(K.data()[i]);
  return kernels;
}

std::vector<std::vector<double>> KernelsOfS4(const Checkpoint& checkpoint, const std::string& s4,
                                             Dim length) {
  const S4Parameters s = ParametersOfS4(checkpoint, s4);
  return ByFeature(ops::DplrKernel(ops::Bilinear(s.p, s.C), length));
}

/// K_j = 2 Re sum_m C b a^j
std::vector<std::vector<double>> KernelsOfS4d(const Checkpoint& checkpoint, const std::string& s4d,
                                              int length) {
  const Tensor re = Floats(checkpoint, s4d + "A_re"), steps = Floats(checkpoint, s4d + "log_dt");
  Check(re.shape().rank() == 2 && steps && steps.size() == re.dim(1),
        "{}: {}A_re must be [modes, features], and {}log_dt have the features", checkpoint.path().string(),
        s4d, s4d);
  const Dim numbers = re.size(), features = re.dim(1);
  const Tensor C = Floats(checkpoint, s4d + "C", {2, re.dim(0), features});
  const auto [a, b] =
      ops::Eigenvalues({re, Floats(checkpoint, s4d + "A_im"), steps}, EigenKind::kZeroOrderHold);
  const auto at = [&](const Tensor& t, Dim i) { return Number(t.data()[i], t.data()[numbers + i]); };
  std::vector<std::vector<double>> kernels(features, std::vector<double>(length));
  for (Dim i = 0; i < numbers; ++i) {
    Number wave = 2.0 * at(C, i) * at(b, i);
    for (int j = 0; j < length; ++j) kernels[i % features][j] += wave.real(), wave *= at(a, i);
  }
  return kernels;
}

}  // namespace

bool AreOfDiagonalAlone(const Checkpoint& checkpoint) {
  return checkpoint.Find("blocks.0.s4.A_re") != nullptr;
}

std::vector<Number> LayerEigenvalues(const Checkpoint& checkpoint, size_t layer) {
  const std::string block = Block(layer);
  if (checkpoint.Find(block + "s4.A_re") != nullptr) return DiagonalOfS4(checkpoint, block + "s4.");
  for (const Parameters& names : kParameters) {
    const Tensor re = Floats(checkpoint, block + names.re);
    if (!re) continue;
    const Tensor step = *names.step != '\0' ? Floats(checkpoint, block + names.step) : Tensor();
    const Tensor a = ops::Eigenvalues({re, Floats(checkpoint, block + names.im), step}, names.kind).a;
    std::vector<Number> values;
    for (Dim i = 0; i < re.size(); ++i) values.push_back({a.data()[i], a.data()[re.size() + i]});
    return values;
  }
  return {};
}

std::vector<std::vector<double>> FeatureKernels(const Checkpoint& checkpoint, size_t layer, int length) {
  const std::string block = Block(layer);
  if (checkpoint.Find(block + "s4.A_re") != nullptr) return KernelsOfS4(checkpoint, block + "s4.", length);
  if (checkpoint.Find(block + "s4d.A_re") != nullptr) return KernelsOfS4d(checkpoint, block + "s4d.", length);
  return {};
}

}  // namespace linnet
