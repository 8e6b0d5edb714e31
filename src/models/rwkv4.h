// RWKV-4: what the registry needs to recognise and build it.
#pragma once

#include "nn/model.h"

namespace linnet::models {

bool IsRwkv4(const Checkpoint& checkpoint);
Sizes ReadRwkv4Sizes(const Checkpoint& checkpoint);
/// Fills in ffn (4 C).
Sizes CompleteRwkv4Sizes(Sizes sizes);
double Rwkv4RecurrenceFlops(const Sizes& sizes);
std::unique_ptr<Model> MakeRwkv4(const Params& params, const Sizes& sizes);

}  // namespace linnet::models
