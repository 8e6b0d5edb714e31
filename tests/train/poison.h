// Spoils a model, so that whoever goes on with it has losses that are no numbers.
#pragma once

#include <cmath>
#include <filesystem>
#include <vector>

#include "formats/safetensors.h"

namespace linnet {

/// Replaces one weight of a model file by NaN.
inline void Poison(const std::filesystem::path& path) {
  const auto file = Checkpoint::Open(path);
  std::vector<NamedTensor> tensors;
  for (const Checkpoint::Entry& entry : file->entries())
    tensors.push_back({entry.name, file->Load(entry.name).Clone()});
  for (const NamedTensor& t : tensors) {
    if (t.name == "head.weight") t.tensor.data()[3] = NAN;
  }
  WriteSafetensors(path, tensors, file->metadata());
}

}  // namespace linnet
