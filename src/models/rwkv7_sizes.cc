// The sizes of an RWKV-7: read off a checkpoint, or completed from a few that a user chose.
#include <cmath>

#include "models/rwkv7.h"
#include "models/sizes.h"

namespace linnet::models {
namespace {

/// A rank as RWKV-LM's trainer computes it: a multiple of 32 near factor * sqrt(width), halves to even, at
/// least 32.
Dim DefaultRank(Dim width, double factor) {
  const double units = std::nearbyint(factor * std::sqrt(static_cast<double>(width)) / 32);
  return std::max<Dim>(32, static_cast<Dim>(units) * 32);
}

bool HasTimeMix(const Checkpoint& checkpoint) {
  return checkpoint.Find("emb.weight") && checkpoint.Find("blocks.0.att.r_k") &&
         checkpoint.Find("blocks.0.att.x_r");
}

bool HasDeepEmbedding(const Checkpoint& checkpoint) { return checkpoint.Find("blocks.0.ffn.s_emb.weight"); }

bool HasAttention(const Checkpoint& checkpoint) { return checkpoint.Find("blocks.0.qkv.qq.weight"); }

/// Tokens that attention remembers unless chosen: the published 7b was trained on texts of this length.
constexpr Dim kContext = 4096;

}  // namespace

Rwkv7Sizes::Rwkv7Sizes(const Sizes& sizes)
    : HeadSizes(sizes),
      decay_rank(sizes.at("decay_rank")),
      rate_rank(sizes.at("rate_rank")),
      value_rank(sizes.at("value_rank")),
      gate_rank(sizes.at("gate_rank")) {}

bool IsRwkv7(const Checkpoint& checkpoint) {
  return HasTimeMix(checkpoint) && !HasDeepEmbedding(checkpoint) &&
         !checkpoint.Find("blocks.0.rosa.q.weight");
}

bool IsRwkv7a(const Checkpoint& checkpoint) {
  return HasTimeMix(checkpoint) && HasDeepEmbedding(checkpoint) && !HasAttention(checkpoint);
}

bool IsRwkv7b(const Checkpoint& checkpoint) {
  return HasTimeMix(checkpoint) && HasDeepEmbedding(checkpoint) && HasAttention(checkpoint);
}

Sizes ReadRwkv7Sizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadTrunkSizes(checkpoint);
  AddHeads(checkpoint, "blocks.0.att.r_k", Extent(checkpoint, "blocks.0.att.r_k", 0), sizes);
  sizes["decay_rank"] = Extent(checkpoint, "blocks.0.att.w1", 1);
  sizes["rate_rank"] = Extent(checkpoint, "blocks.0.att.a1", 1);
  sizes["gate_rank"] = Extent(checkpoint, "blocks.0.att.g1", 1);
  // The first layer's value residual is absent, or there and not used.
  sizes["value_rank"] =
      sizes["layers"] > 1 ? Extent(checkpoint, "blocks.1.att.v1", 1) : DefaultRank(sizes["width"], 1.7);
  return sizes;
}

Sizes CompleteRwkv7Sizes(Sizes sizes) {
  CheckTrunkSizes(sizes);
  const Dim width = sizes["width"];
  sizes.try_emplace("ffn", 4 * width);
  sizes.try_emplace("decay_rank", DefaultRank(width, 2.5));
  sizes.try_emplace("rate_rank", DefaultRank(width, 2.5));
  sizes.try_emplace("value_rank", DefaultRank(width, 1.7));
  sizes.try_emplace("gate_rank", DefaultRank(width, 5));
  CompleteHeadSize(sizes);
  return sizes;
}

double Rwkv7RecurrenceFlops(const Sizes& sizes) {
  // Per element of the state: decay, <S, a>, two rank-one updates, <S, r>; nine operations.
  return 9.0 * sizes.at("layers") * sizes.at("width") * sizes.at("head_size");
}

double Rwkv7aRecurrenceFlops(const Sizes& sizes) {
  // A row times its token's matrix.
  return Rwkv7RecurrenceFlops(sizes) + 2.0 * sizes.at("layers") * kDeepRank * kDeepRank;
}

Sizes ReadRwkv7bSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadRwkv7Sizes(checkpoint);
  sizes["context"] = kContext;
  return sizes;
}

Sizes CompleteRwkv7bSizes(Sizes sizes) {
  sizes = CompleteRwkv7Sizes(std::move(sizes));
  sizes.try_emplace("context", kContext);
  return sizes;
}

double Rwkv7bRecurrenceFlops(const Sizes& sizes) {
  return Rwkv7aRecurrenceFlops(sizes);  // attention grows with the text and is not counted
}

}  // namespace linnet::models
