#include "models/sizes.h"

#include <algorithm>

namespace linnet::models {

Dim Extent(const Checkpoint& checkpoint, const std::string& name, int index, int rank) {
  const Checkpoint::Entry* entry = checkpoint.Find(name);
  Check(entry != nullptr, "{}: the tensor {} is missing", checkpoint.path().string(), name);
  Check(entry->shape.rank() == rank, "{}: {} must have {} extents but is {}", checkpoint.path().string(),
        name, rank, entry->shape);
  const Dim extent = entry->shape[index];
  Check(extent > 0, "{}: {} is empty", checkpoint.path().string(), name);
  return extent;
}

Sizes ReadTrunkSizes(const Checkpoint& checkpoint) {
  Dim layers = 0;
  while (checkpoint.Find("blocks." + std::to_string(layers) + ".ln2.weight")) ++layers;
  Check(layers > 0, "{}: the tensor blocks.0.ln2.weight is missing", checkpoint.path().string());
  return {{"layers", layers},
          {"vocab", Extent(checkpoint, "emb.weight", 0)},
          {"width", Extent(checkpoint, "emb.weight", 1)},
          {"ffn", Extent(checkpoint, "blocks.0.ffn.key.weight", 0)}};
}

bool IsStackOf(const Checkpoint& checkpoint, const std::string& name) {
  const std::string prefix = "blocks.0." + name + ".";
  return checkpoint.Find("emb.weight") && checkpoint.Find("ln_f.weight") &&
         std::ranges::any_of(checkpoint.entries(),
                             [&](const Checkpoint::Entry& entry) { return entry.name.starts_with(prefix); });
}

Sizes ReadStackSizes(const Checkpoint& checkpoint) {
  const auto has_block = [&](Dim layer) {
    const std::string prefix = fmt::format("blocks.{}.", layer);
    return std::ranges::any_of(
        checkpoint.entries(), [&](const Checkpoint::Entry& entry) { return entry.name.starts_with(prefix); });
  };
  Sizes sizes{{"vocab", Extent(checkpoint, "emb.weight", 0)}, {"width", Extent(checkpoint, "emb.weight", 1)}};
  while (has_block(sizes["layers"])) ++sizes["layers"];
  Check(sizes["layers"] > 0, "{}: has no tensors of a first layer, blocks.0. ...",
        checkpoint.path().string());
  if (checkpoint.Find("blocks.0.mlp.fc.weight"))
    sizes["ffn"] = Extent(checkpoint, "blocks.0.mlp.fc.weight", 0);
  if (checkpoint.Find("pos_emb.weight")) sizes["context"] = Extent(checkpoint, "pos_emb.weight", 0);
  return sizes;
}

Sizes CompleteStackSizes(Sizes sizes) {
  CheckTrunkSizes(sizes);
  sizes.try_emplace("ffn", 4 * sizes["width"]);
  return sizes;
}

void CheckHasNo(const Sizes& sizes, const std::string& size, const std::string& architecture) {
  std::string flag = size;
  std::ranges::replace(flag, '_', '-');
  Check(!sizes.contains(size), "{} has no {}; leave --{} out", architecture, size, flag);
}

void CheckTrunkSizes(const Sizes& sizes) {
  for (const char* name : {"layers", "width", "vocab"}) {
    Check(sizes.contains(name) && sizes.at(name) > 0, "--{} must be given and at least 1", name);
  }
}

void AddHeads(const Checkpoint& checkpoint, const std::string& tensor, Dim heads, Sizes& sizes) {
  const Dim width = sizes.at("width");
  Check(width % heads == 0, "{}: {} has {} heads, which do not divide the width {} of emb.weight",
        checkpoint.path().string(), tensor, heads, width);
  sizes["head_size"] = width / heads;
  Check(width / heads <= kMaxHeadSize, "{}: {} has heads of {} channels, more than {}",
        checkpoint.path().string(), tensor, width / heads, kMaxHeadSize);
}

void CompleteHeadSize(Sizes& sizes) {
  sizes.try_emplace("head_size", 64);
  const Dim head_size = sizes["head_size"], width = sizes["width"];
  Check(head_size >= 4 && head_size <= kMaxHeadSize, "--head-size must lie between 4 and {} but is {}",
        kMaxHeadSize, head_size);
  Check(width % head_size == 0, "--width {} is not a multiple of --head-size {}; try --width {}", width,
        head_size, (width + head_size - 1) / head_size * head_size);
}

Dim SlimFfn(Dim width) { return std::max<Dim>(32, width * 7 / 2 / 32 * 32); }

double Wkv6RecurrenceFlops(const Sizes& sizes) {
  // Per element of the state: decay, a rank-one update, <r, S>; five operations.
  return 5.0 * sizes.at("layers") * sizes.at("width") * sizes.at("head_size");
}

}  // namespace linnet::models
