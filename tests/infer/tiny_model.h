// Tiny models over bytes whose logits depend on the text: their output matrices are random, not zero as those
// of a fresh model.
#pragma once

#include "nn/model.h"
#include "small_sizes.h"

namespace linnet {

inline LoadedModel TinyModel(const Architecture& architecture) {
  const Sizes sizes{{"layers", 2}, {"width", 32}, {"vocab", 256}, {"head_size", 16}};
  LoadedModel model = NewModel(architecture, SmallSizes(architecture, sizes), /*seed=*/1);
  Random random(2);
  for (const Parameter& parameter : model.params->parameters()) {
    if (parameter.role != Role::kMatrix) continue;
    for (Dim i = 0; i < parameter.tensor.size(); ++i) {
      parameter.tensor.data()[i] = static_cast<float>(0.3 * random.Normal());
    }
  }
  return model;
}

inline LoadedModel TinyModel() { return TinyModel(FindArchitecture("rwkv7")); }

}  // namespace linnet
