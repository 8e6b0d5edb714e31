// RWKV-6: what the registry needs to recognise and build it.
#pragma once

#include "nn/model.h"

namespace linnet::models {

bool IsRwkv6(const Checkpoint& checkpoint);
Sizes ReadRwkv6Sizes(const Checkpoint& checkpoint);
/// Fills in head_size (64), ffn (3.5 C, rounded down to a multiple of 32) and the ranks of RWKV-LM's trainer.
Sizes CompleteRwkv6Sizes(Sizes sizes);
std::unique_ptr<Model> MakeRwkv6(const Params& params, const Sizes& sizes);

}  // namespace linnet::models
