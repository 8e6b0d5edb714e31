// RWKV-5: what the registry needs to recognise and build it.
#pragma once

#include "nn/model.h"

namespace linnet::models {

bool IsRwkv5(const Checkpoint& checkpoint);
/// "revision" says which of 5.0, 5.1 and 5.2 it is.
Sizes ReadRwkv5Sizes(const Checkpoint& checkpoint);
/// Fills in head_size (64), ffn (3.5 C, rounded down to a multiple of 32) and revision (2).
Sizes CompleteRwkv5Sizes(Sizes sizes);
std::unique_ptr<Model> MakeRwkv5(const Params& params, const Sizes& sizes);

}  // namespace linnet::models
