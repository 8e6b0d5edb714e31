// Sizes that every RWKV has, read off a checkpoint or checked where a user chose them.
#pragma once

#include "nn/model.h"

namespace linnet::models {

/// Extent `index` of a tensor that must be there and have `rank` extents. Throws Error naming it.
Dim Extent(const Checkpoint& checkpoint, const std::string& name, int index, int rank = 2);

/// layers, vocab, width and ffn. Throws Error, naming the tensor, if one is missing, and if a size is 0.
Sizes ReadTrunkSizes(const Checkpoint& checkpoint);

/// Whether these are the names of a Stack (stack.h) whose blocks have tensors under this name:
/// blocks.0.NAME. ... .
bool IsStackOf(const Checkpoint& checkpoint, const std::string& name);
/// layers, vocab, width, of a Stack with an MLP ffn, and of one with input positions context. Throws Error,
/// naming the tensor, if one is missing.
Sizes ReadStackSizes(const Checkpoint& checkpoint);
/// Fills in ffn (4 C). Throws Error as CheckTrunkSizes.
Sizes CompleteStackSizes(Sizes sizes);
/// Throws Error, naming the flag, if the user gave a size that `architecture` does not have.
void CheckHasNo(const Sizes& sizes, const std::string& size, const std::string& architecture);

/// Throws Error unless layers, width and vocab are given and at least 1.
void CheckTrunkSizes(const Sizes& sizes);

/// Puts head_size in, which is what `heads` leave of the width. Throws Error, naming the tensor that has so
/// many heads, unless they divide it into heads of up to kMaxHeadSize channels.
void AddHeads(const Checkpoint& checkpoint, const std::string& tensor, Dim heads, Sizes& sizes);
inline constexpr Dim kMaxHeadSize = 1024;

/// Puts in a head_size of 64 if none was chosen. Throws Error, naming the flag, unless it divides the width.
void CompleteHeadSize(Sizes& sizes);

/// The channel mix's inner width in RWKV-5 and 6: 3.5 C, rounded down to a multiple of 32 (but at least 32).
Dim SlimFfn(Dim width);

/// Operations of WKV-5 and WKV-6 a token.
double Wkv6RecurrenceFlops(const Sizes& sizes);

}  // namespace linnet::models
