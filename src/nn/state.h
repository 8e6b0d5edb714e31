// State: what a recurrent model remembers. For each variable that a model declares, one tensor [slots, ...];
// a sequence is a slot number. Saving, restoring and copying are generic, never per model.
#pragma once

#include <string>
#include <vector>

#include "kernels/sequences.h"

namespace linnet {

/// A state variable as a model declares it: shape without the slots.
struct StateSpec {
  std::string name;  // "blocks.0.att.wkv"
  Shape shape;
  Tensor initial = {};  // what a sequence starts from, of this shape; empty means zeros
};

/// A declared variable.
struct StateVar {
  int id = -1;
};

class State {
 public:
  enum class Mode {
    kInPlace,      // a forward pass updates the state it reads: generation
    kKeepInitial,  // it leaves the initial state alone and writes the final one beside it: training
  };

  State(const std::vector<StateSpec>& specs, int slots, Mode mode = Mode::kInPlace);

  int slots() const { return slots_; }
  const std::vector<StateSpec>& specs() const { return specs_; }
  StateRef operator[](StateVar var) const { return vars_[var.id]; }
  StateRef at(int var) const { return vars_[var]; }
  /// A state that begins where a pass with this one ended, and leaves it alone (mode kKeepInitial): for the
  /// next piece of the same sequences. It shares the memory of what this one left.
  State Following() const;
  /// Bytes of one slot.
  size_t slot_bytes() const;

  /// Puts one slot, or all, at the start of a sequence: the initial values of the model, mostly zeros.
  void Reset(int slot);
  void Reset();
  /// Makes the state in slot `to` that of slot `from`: a fork.
  void Copy(int from, int to);
  /// The state in a slot, one tensor a variable (without the slots extent).
  std::vector<Tensor> Save(int slot) const;
  /// Puts a saved state into a slot. Throws Error if a shape does not fit.
  void Restore(int slot, const std::vector<Tensor>& saved);

 private:
  int slots_;
  std::vector<StateSpec> specs_;
  std::vector<StateRef> vars_;
};

/// [H, A, B] -> [H, B, A]: between the two ways in which matrices of heads are published.
Tensor TransposedHeads(const Tensor& x);

}  // namespace linnet
