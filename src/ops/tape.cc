#include "ops/tape.h"

#include "kernels/backend.h"
#include "ops/adapters.h"

namespace linnet {
namespace {

thread_local Tape* current = nullptr;
thread_local int pauses = 0;  // of tapes in scope
thread_local std::function<void()> after_each_step;

}  // namespace

Tape::Tape() : outer_(current) { current = this; }
Tape::~Tape() { current = outer_; }

TapePause::TapePause() : paused_(current) {
  current = nullptr;
  pauses += paused_ != nullptr;
}
TapePause::~TapePause() {
  current = paused_;
  pauses -= paused_ != nullptr;
}

Tape* Tape::Current() { return current; }
bool Tape::Training() { return current != nullptr || pauses > 0; }

void Tape::Backward(const Tensor& loss, float seed) {
  Check(loss.size() == 1, "[backward] a loss has one element, this tensor is {}", loss.shape());
  Check(loss.tracked(), "[backward] the loss depends on nothing that is tracked");
  Tensor start = Tensor::Empty(loss.shape());
  start.data()[0] = seed;
  Accumulate(loss.gradient(), start);
  Backward();
}

void Tape::Backward() {
  TapePause pause;
  while (!steps_.empty()) {
    {
      const std::function<void()> step = std::move(steps_.back());
      steps_.pop_back();
      step();
    }
    if (after_each_step) after_each_step();
  }
}

AfterEachStep::AfterEachStep(std::function<void()> body) { after_each_step = std::move(body); }
AfterEachStep::~AfterEachStep() { after_each_step = nullptr; }

void Accumulate(const GradientPtr& gradient, Tensor contribution) {
  if (!gradient) return;
  Tensor& sum = gradient->value;
  if (!sum) {
    sum = std::move(contribution);
    return;
  }
  Backend& backend = Backend::For(sum.device());
  if (sum.use_count() >
      1) {  // shared with another tensor's gradient (Add hands one on twice): leave that one alone
    const Tensor total = Tensor::Empty(sum.shape());
    backend.Add(sum, contribution, total);
    sum = total;
  } else {
    backend.AddTo(contribution, sum);
  }
}

Tensor Accumulator(const GradientPtr& gradient, const Shape& shape) {
  if (!gradient) return {};
  Tensor& sum = gradient->value;
  if (!sum) {
    sum = Tensor::Zeros(shape);
  } else if (sum.use_count() > 1) {
    sum = sum.Clone();
  }
  return sum;
}

std::vector<Tensor> Recompute(const std::vector<Tensor>& inputs,
                              const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& block) {
  Tape* tape = Tape::Current();
  if (tape == nullptr) return block(inputs);
  std::vector<Tensor> outputs;
  {
    TapePause pause;
    outputs = block(inputs);
  }
  std::vector<GradientPtr> slots;
  for (const Tensor& t : outputs) slots.push_back(t.Track());
  tape->Record([inputs, block, slots, adapters = Adapters::InForce()] {
    const AdaptersInForce as_before(adapters);
    std::vector<Tensor> fresh;
    for (const Tensor& t : inputs) {
      fresh.push_back(t ? t.Detach() : Tensor());
      if (t.tracked()) fresh.back().Track();
    }
    Tape inner;
    const std::vector<Tensor> again = block(fresh);
    for (size_t i = 0; i < slots.size(); ++i) {
      if (again[i].tracked() && slots[i]->value) Accumulate(again[i].gradient(), slots[i]->value);
    }
    inner.Backward();
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].tracked() && fresh[i].grad()) Accumulate(inputs[i].gradient(), fresh[i].grad());
    }
  });
  return outputs;
}

}  // namespace linnet
