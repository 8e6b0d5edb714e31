// What initial values depend on in RWKV of every version. Formulas: RWKV-LM.
#pragma once

#include <algorithm>
#include <cmath>

#include "nn/init.h"
#include "ops/ops.h"

namespace linnet::models {

/// How deep a layer lies.
struct Depth {
  double rho;  // 0 in the first layer, 1 in the last
  double tau;  // 1 in the first layer, 1/L in the last
  Depth(int layer, Dim layers)
      : rho(layers > 1 ? static_cast<double>(layer) / (layers - 1) : 0),
        tau(1 - static_cast<double>(layer) / layers) {}
};

/// (c / C)^power: along the channels from 0 to almost 1.
inline double Ramp(Dim c, Dim width, double power) {
  return std::pow(static_cast<double>(c) / static_cast<double>(width), power);
}

/// c / (C - 1): along the channels from 0 to 1.
inline double Line(Dim c, Dim width) {
  return static_cast<double>(c) / static_cast<double>(std::max<Dim>(1, width - 1));
}

/// -1, 0, 1 from channel to channel.
inline double Zigzag(Dim c) { return static_cast<double>((c + 1) % 3) - 1; }

/// Where WKV-4 begins, the average of no values: a = b = 0, at an exponent below that of any key.
inline Tensor NothingSeen(Dim width) {
  const Tensor state = Tensor::Zeros({3, width});
  std::fill_n(state.data() + 2 * width, width, ops::kWkv4Nothing);
  return state;
}

/// sqrt(rows / columns) for a matrix that is taller than wide: the gain with which its columns keep the
/// length that rows of length 1 would give them.
inline float TallGain(Dim rows, Dim columns) {
  return std::sqrt(std::max(1.0f, static_cast<float>(rows) / static_cast<float>(columns)));
}

}  // namespace linnet::models
