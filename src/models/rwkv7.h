// RWKV-7: its sizes, and what the registry needs to recognise and build it.
#pragma once

#include "models/trunk.h"

namespace linnet::models {

struct Rwkv7Sizes : HeadSizes {
  Dim decay_rank, rate_rank, value_rank, gate_rank;  // of the low-rank maps w, a, v, g

  explicit Rwkv7Sizes(const Sizes& sizes);
};

bool IsRwkv7(const Checkpoint& checkpoint);
Sizes ReadRwkv7Sizes(const Checkpoint& checkpoint);
/// Fills in head_size (64), ffn (4 C) and the ranks that RWKV-LM's trainer gives a model of this width.
Sizes CompleteRwkv7Sizes(Sizes sizes);
double Rwkv7RecurrenceFlops(const Sizes& sizes);
std::unique_ptr<Model> MakeRwkv7(const Params& params, const Sizes& sizes);

}  // namespace linnet::models
