// RWKV-7 and its successors with deep embeddings, 7a and 7b: their sizes, and what the registry needs to
// recognise and build them.
#pragma once

#include "models/trunk.h"

namespace linnet::models {

/// Fixed by the published models: a token's deep embedding is a matrix of 32 x 32, keys of attention have 256
/// channels.
inline constexpr Dim kDeepRank = 32, kAttentionKeys = 256;

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

/// 7a: a deep embedding in each channel mix. Its sizes are those of RWKV-7.
bool IsRwkv7a(const Checkpoint& checkpoint);
double Rwkv7aRecurrenceFlops(const Sizes& sizes);
std::unique_ptr<Model> MakeRwkv7a(const Params& params, const Sizes& sizes);

/// 7b: 7a with attention beside each time mix. Its sizes have a "context", the tokens that the attention
/// remembers; no file says how many, so it is that of the published models unless chosen.
bool IsRwkv7b(const Checkpoint& checkpoint);
Sizes ReadRwkv7bSizes(const Checkpoint& checkpoint);
Sizes CompleteRwkv7bSizes(Sizes sizes);
double Rwkv7bRecurrenceFlops(const Sizes& sizes);
std::unique_ptr<Model> MakeRwkv7b(const Params& params, const Sizes& sizes);

}  // namespace linnet::models
