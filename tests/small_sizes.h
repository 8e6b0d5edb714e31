// Sizes of small models of any architecture.
#pragma once

#include <algorithm>
#include <string>

#include "nn/model.h"

namespace linnet {

/// `wanted` without head_size and ffn where the architecture has none, completed.
inline Sizes SmallSizes(const Architecture& architecture, Sizes wanted) {
  Sizes bare = wanted;
  for (const char* name : {"head_size", "ffn"}) bare.erase(name);
  bare["width"] = 64;
  const Sizes known = architecture.complete_sizes(bare);
  for (const char* name : {"head_size", "ffn"}) {
    if (!known.contains(name)) wanted.erase(name);
  }
  return architecture.complete_sizes(wanted);
}

/// Its name as GoogleTest allows it for a parameter.
inline std::string NameOf(const Architecture& architecture) {
  std::string name = architecture.name;
  std::ranges::replace(name, '-', '_');
  return name;
}

/// Whether the cut of a text into pieces changes no bit. The averages of AFT with biases of positions take
/// the largest key of those seen so far out of their exponents, and which that is depends on the cut: they
/// are equal up to rounding.
inline bool IsTheSameHoweverCut(const Architecture& architecture) {
  return architecture.name != "aft-full" && architecture.name != "aft-local";
}

/// Whether what the backward pass computes is the slope of the loss. Spikes have none: a surrogate's stands
/// in for it (tests/ops/spikes_test.cc holds it against the surrogate's own derivative).
inline bool HasTrueGradients(const Architecture& architecture) { return architecture.name != "spikegpt"; }

}  // namespace linnet
