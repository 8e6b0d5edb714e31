#include "infer/decays.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/check.h"
#include "kernels/backend.h"

namespace linnet {
namespace {

/// The tensor of a name; empty if there is none.
using Find = std::function<Tensor(const std::string& name)>;

std::vector<float> Floats(const Tensor& tensor) {
  if (tensor.size() == 0) return {};
  const Tensor wide = Tensor::Empty(tensor.shape());
  Backend::For(Device::kCpu).Convert(tensor, wide);
  return {wide.data(), wide.data() + wide.size()};
}

/// The decays of one layer; empty if there is no such layer.
std::vector<double> LayerDecays(const Find& find, int layer) {
  const std::string att = fmt::format("blocks.{}.att.", layer);
  std::vector<double> decays;
  if (const Tensor w0 = find(att + "w0")) {
    const double slowest = std::exp(-0.5);
    for (double w : Floats(w0)) decays.push_back(std::exp(-slowest / (1 + std::exp(-w))));
  } else if (const Tensor decay = find(att + "time_decay")) {
    for (double w : Floats(decay)) decays.push_back(std::exp(-std::exp(w)));
  }
  return decays;
}

std::vector<std::vector<double>> AllDecays(const Find& find) {
  std::vector<std::vector<double>> layers;
  for (;;) {
    std::vector<double> layer = LayerDecays(find, static_cast<int>(layers.size()));
    if (layer.empty()) return layers;
    layers.push_back(std::move(layer));
  }
}

}  // namespace

std::vector<std::vector<double>> Decays(const Checkpoint& checkpoint) {
  return AllDecays([&](const std::string& name) {
    if (checkpoint.Find(name) == nullptr) return Tensor();
    const Tensor tensor = checkpoint.Load(name);
    Check(IsReal(tensor.dtype()), "{}: {} holds {}, which are no weights", checkpoint.path().string(), name,
          Traits(tensor.dtype()).name);
    return tensor;
  });
}

std::vector<std::vector<double>> Decays(const ParamStore& params) {
  return AllDecays([&](const std::string& name) {
    const auto found = std::ranges::find(params.parameters(), name, &Parameter::name);
    return found == params.parameters().end() ? Tensor() : found->tensor;
  });
}

}  // namespace linnet
