// Sizes of small models of any architecture.
#pragma once

#include <algorithm>
#include <string>

#include "nn/model.h"

namespace linnet {

/// `wanted` without head_size and ffn where the architecture has none, completed.
inline Sizes SmallSizes(const Architecture& architecture, Sizes wanted) {
  const Sizes known = architecture.complete_sizes({{"layers", 1}, {"width", 64}, {"vocab", 16}});
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

}  // namespace linnet
