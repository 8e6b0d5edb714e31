#include "nn/state.h"

#include <cstring>

namespace linnet {
namespace {

/// The bytes of one slot of a [slots, ...] tensor.
std::byte* SlotOf(const Tensor& variable, int slot) {
  return static_cast<std::byte*>(variable.raw()) + variable.bytes() / variable.dim(0) * slot;
}

}  // namespace

State::State(const std::vector<StateSpec>& specs, int slots, Mode mode) : slots_(slots), specs_(specs) {
  Check(slots >= 1, "[state] needs at least one slot");
  for (const StateSpec& spec : specs) {
    Shape shape{slots};
    for (Dim dim : spec.shape) shape.Append(dim);
    const Tensor in = Tensor::Empty(shape);
    vars_.push_back({in, mode == Mode::kInPlace ? in : Tensor::Zeros(shape)});
  }
  Reset();
}

State State::Following() const {
  State next = *this;
  for (StateRef& var : next.vars_) var = {var.out.Detach(), Tensor::Zeros(var.out.shape())};
  return next;
}

size_t State::slot_bytes() const {
  size_t bytes = 0;
  for (const StateRef& var : vars_) bytes += var.in.bytes() / slots_;
  return bytes;
}

void State::Reset(int slot) {
  Check(slot >= 0 && slot < slots_, "[state] there is no slot {} among {}", slot, slots_);
  for (size_t i = 0; i < vars_.size(); ++i) {
    const Tensor &in = vars_[i].in, &initial = specs_[i].initial;
    if (initial) {
      std::memcpy(SlotOf(in, slot), initial.raw(), initial.bytes());
    } else {
      std::memset(SlotOf(in, slot), 0, in.bytes() / slots_);
    }
  }
}

void State::Reset() {
  for (int slot = 0; slot < slots_; ++slot) Reset(slot);
}

void State::Copy(int from, int to) {
  Check(from >= 0 && from < slots_ && to >= 0 && to < slots_, "[state] cannot copy slot {} to {} of {}", from,
        to, slots_);
  if (from == to) return;
  for (const StateRef& var : vars_)
    std::memcpy(SlotOf(var.in, to), SlotOf(var.in, from), var.in.bytes() / slots_);
}

std::vector<Tensor> State::Save(int slot) const {
  Check(slot >= 0 && slot < slots_, "[state] there is no slot {} among {}", slot, slots_);
  std::vector<Tensor> saved;
  for (size_t i = 0; i < vars_.size(); ++i) {
    saved.push_back(Tensor::Empty(specs_[i].shape));
    std::memcpy(saved.back().raw(), SlotOf(vars_[i].in, slot), saved.back().bytes());
  }
  return saved;
}

void State::Restore(int slot, const std::vector<Tensor>& saved) {
  Check(slot >= 0 && slot < slots_, "[state] there is no slot {} among {}", slot, slots_);
  Check(saved.size() == vars_.size(), "[state] {} variables were saved, the model has {}", saved.size(),
        vars_.size());
  for (size_t i = 0; i < vars_.size(); ++i) {
    Check(saved[i].shape() == specs_[i].shape, "[state] {} must be {} but is {}", specs_[i].name,
          specs_[i].shape, saved[i].shape());
  }
  for (size_t i = 0; i < vars_.size(); ++i) {
    std::memcpy(SlotOf(vars_[i].in, slot), saved[i].raw(), saved[i].bytes());
  }
}

Tensor TransposedHeads(const Tensor& x) {
  const Dim heads = x.dim(0), rows = x.dim(1), columns = x.dim(2);
  const Tensor y = Tensor::Empty({heads, columns, rows});
  for (Dim h = 0; h < heads; ++h) {
    for (Dim i = 0; i < rows; ++i) {
      for (Dim j = 0; j < columns; ++j) {
        y.data()[(h * columns + j) * rows + i] = x.data()[(h * rows + i) * columns + j];
      }
    }
  }
  return y;
}

}  // namespace linnet
