// The values of a tensor of any plain type, as floats.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "formats/checkpoint.h"

namespace linnet {

inline std::vector<float> ValuesOf(const Tensor& tensor) {
  std::vector<float> values;
  for (Dim i = 0; i < tensor.size(); ++i) {
    switch (tensor.dtype()) {
      case DType::kF32:
        values.push_back(tensor.data()[i]);
        break;
      case DType::kF16:
        values.push_back(ToFloat(tensor.data<F16>()[i]));
        break;
      case DType::kBf16:
        values.push_back(ToFloat(tensor.data<Bf16>()[i]));
        break;
      default:
        ADD_FAILURE() << "no values of " << Traits(tensor.dtype()).name;
        return values;
    }
  }
  return values;
}

inline std::vector<float> ValuesOf(const Checkpoint& checkpoint, const std::string& name) {
  return ValuesOf(checkpoint.Load(name));
}

inline std::vector<std::string> NamesOf(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const auto& entry : checkpoint.entries()) names.push_back(entry.name);
  return names;
}

}  // namespace linnet
