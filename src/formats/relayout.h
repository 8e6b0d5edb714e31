// How a tensor of another program's file comes into the layout of BlinkDL's checkpoints: what that program's
// converter did to it, undone.
#pragma once

#include <array>
#include <string>

#include "formats/checkpoint.h"

namespace linnet {

enum class Relayout : uint8_t {
  kSame,
  kTransposed,        // [.., a, b] from [.., b, a]
  kPart,              // [1, 1, n]: number `index` of the `count` vectors in a fused tensor
  kHeads,             // [heads, count] from [heads * count]
  kVector,            // [1, 1, n] from any shape
  kTrimmed,           // [a, b] from [a, b, 1]
  kLog,               // trimmed, log(x): the file has e^x
  kLogOfNegative,     // trimmed, log(-x): the file has -e^x
  kLogOfNegativeLog,  // trimmed, log(-log x): the file has e^(-e^x)
  kTimesPowerOfTwo,   // times 2^index
  kMixDown,           // [C, 5 r] from flash-linear-attention's [5 r, C], whose five are in another order
  kMixUp,             // [5, r, C] from its [C, 5 r], likewise
};

struct RelayoutStep {
  Relayout how = Relayout::kSame;
  int64_t index = 0, count = 0;
};

/// What becomes of an entry (its name aside). Throws Error, with `named` in front, if it has not the shape or
/// type that the step needs.
Checkpoint::Entry EntryAfter(const RelayoutStep& step, const Checkpoint::Entry& entry,
                             const std::string& named);

/// The tensor after `step`, of the entry's shape: in place if no element changes, else a copy.
Tensor TensorAfter(const RelayoutStep& step, const Tensor& tensor, const Checkpoint::Entry& after);

/// [.., b, a] from [.., a, b], of any type without blocks.
Tensor Turned(const Tensor& x);

/// Copies elements into the row-major `to`; along its extent i they lie strides[i] elements apart.
void CopyStrided(const std::byte* from, const std::array<int64_t, 4>& strides, const Tensor& to);

}  // namespace linnet
