// Batch: the input of a forward pass, packed and ragged. Training is S sequences of T tokens, prefill a
// chunk, decoding one row a sequence; a server's step mixes them freely.
#pragma once

#include <vector>

#include "kernels/sequences.h"

namespace linnet {

struct Batch : Sequences {
  std::vector<int> tokens;  // N, sequence after sequence
  std::vector<int> wanted;  // rows whose output is needed; empty means all
  /// In training: keep only the inputs of blocks and run them again in the backward pass (activation
  /// checkpointing). Batch and State must then live until Backward.
  bool recompute = false;
  /// In training: another batch goes on where the sequences of this one end, from the states that it leaves.
  /// Where none does, a model may leave the new states out.
  bool goes_on = false;

  /// Appends a sequence that continues the state in `state_slot`. Throws Error if it is empty.
  void Append(const std::vector<int>& ids, int state_slot);
  /// Throws Error unless starts ascend, cover the tokens, and slots are distinct and below `slots`.
  void Validate(int slots) const;
};

}  // namespace linnet
