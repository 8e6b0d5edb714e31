#include "lab/duality.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "ops/ops.h"

namespace linnet::lab {
namespace {

Tensor Column(const double* values, Dim count) {
  const Tensor column = Tensor::Empty({count, 1});
  for (Dim i = 0; i < count; ++i) column.data()[i] = static_cast<float>(values[i]);
  return column;
}

Tensor Single(double value) {
  const Tensor tensor = Tensor::Empty({1});
  tensor.data()[0] = static_cast<float>(value);
  return tensor;
}

/// The op that models use, over the channel in pieces of so many tokens.
std::vector<float> Wkv4InPieces(const DualityChannel& channel, Dim piece) {
  const auto tokens = static_cast<Dim>(channel.k.size());
  const Tensor state = Tensor::Zeros({1, 3, 1}), w = Single(channel.w), u = Single(channel.u);
  state.data()[2] = ops::kWkv4Nothing;
  std::vector<float> result;
  for (Dim begin = 0; begin < tokens; begin += piece) {
    const Dim count = std::min(piece, tokens - begin);
    Sequences sequences;
    sequences.start = {0, static_cast<int>(count)};
    sequences.slot = {0};
    const Tensor y = ops::Wkv4({Column(&channel.k[begin], count), Column(&channel.v[begin], count), w, u},
                               sequences, {state, state});
    result.insert(result.end(), y.data(), y.data() + count);
  }
  return result;
}

}  // namespace

double DualityChannel::decay() const { return std::exp(-std::exp(w)); }

DualityChannel RandomChannel(double w, double u, int tokens, uint64_t seed) {
  DualityChannel channel{w, u, {}, {}};
  Random random(seed);
  const auto rounded = [&] { return std::round(100 * random.Normal()) / 100; };
  for (int t = 0; t < tokens; ++t) {
    channel.k.push_back(rounded());
    channel.v.push_back(rounded());
  }
  return channel;
}

std::vector<double> Kernel(const DualityChannel& channel, int length) {
  std::vector<double> kernel{std::exp(channel.u)};
  for (int j = 1; j < length; ++j) kernel.push_back(std::pow(channel.decay(), j - 1));
  return kernel;
}

std::vector<DualityStep> BothForms(const DualityChannel& channel) {
  const int tokens = static_cast<int>(channel.k.size());
  const std::vector<double> kernel = Kernel(channel, tokens);
  const std::vector<float> parallel = Wkv4InPieces(channel, tokens), stepwise = Wkv4InPieces(channel, 1);
  const double d = channel.decay();
  std::vector<DualityStep> steps;
  double a = 0, b = 0;
  for (int t = 0; t < tokens; ++t) {
    DualityStep step{a, b, 0, 0, 0, 0, parallel[t], stepwise[t]};
    const double key = std::exp(channel.k[t]), now = std::exp(channel.u) * key, v = channel.v[t];
    step.recurrent = (a + now * v) / (b + now);
    a = d * a + key * v;
    b = d * b + key;
    for (int j = 0; j <= t; ++j) {
      const double weight = kernel[j] * std::exp(channel.k[t - j]);
      step.numerator += weight * channel.v[t - j];
      step.denominator += weight;
    }
    step.convolved = step.numerator / step.denominator;
    steps.push_back(step);
  }
  return steps;
}

}  // namespace linnet::lab
