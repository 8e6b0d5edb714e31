// A tiny RWKV-7 over bytes whose logits depend on the text: its output matrices are random, not zero as those
// of a fresh model.
#pragma once

#include "nn/model.h"

namespace linnet {

inline LoadedModel TinyModel() {
  const Architecture& architecture = FindArchitecture("rwkv7");
  LoadedModel model =
      NewModel(architecture,
               architecture.complete_sizes({{"layers", 2}, {"width", 32}, {"head_size", 16}, {"vocab", 256}}),
               /*seed=*/1);
  Random random(2);
  for (const Parameter& parameter : model.params->parameters()) {
    if (parameter.role != Role::kMatrix) continue;
    for (Dim i = 0; i < parameter.tensor.size(); ++i) {
      parameter.tensor.data()[i] = static_cast<float>(0.3 * random.Normal());
    }
  }
  return model;
}

}  // namespace linnet
