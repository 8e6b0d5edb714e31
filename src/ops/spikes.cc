#include "ops/spikes.h"

#include <utility>

#include "ops/internal.h"

namespace linnet::ops {

using namespace internal;

namespace {

thread_local SpikeCount* counting = nullptr;

}  // namespace

SpikeCount::SpikeCount() : outer_(std::exchange(counting, this)) {}
SpikeCount::~SpikeCount() { counting = outer_; }

std::optional<double> SpikeCount::RateOfBlocks() const {
  Site total;
  for (auto site = sites_.upper_bound(0); site != sites_.end(); ++site) {
    total.spikes += site->second.spikes;
    total.neurons += site->second.neurons;
  }
  return total.neurons > 0 ? std::optional(total.rate()) : std::nullopt;
}

void Count(const Tensor& spikes, int site) {
  if (counting == nullptr) return;
  SpikeCount::Site& count = counting->sites_[site];
  for (Dim i = 0; i < spikes.size(); ++i) count.spikes += spikes.data()[i] != 0;
  count.neurons += spikes.size();
}

Tensor Lif(const Tensor& x, const Sequences& sequences, const StateRef& state, int site) {
  Check(x.shape().rank() == 2 && sequences.start.back() == x.dim(0),
        "[lif] the sequences cover {} rows, x is {}", sequences.start.back(), x.shape());
  const Shape expected{state.in.dim(0), x.dim(1)};
  Check(state.in.shape() == expected && state.out.shape() == expected, "[lif] the state must be {} but is {}",
        expected, state.in.shape());
  Backend& backend = BackendOf(x);
  Tape* tape = Tape::For(x, state.in);
  const Tensor spikes = Tensor::Empty(x.shape()), u = tape ? Tensor::Empty(x.shape()) : Tensor();
  backend.Lif(x, sequences, state, u, spikes);
  Count(spikes, site);
  if (tape != nullptr) {
    tape->Record(
        [=, &backend, gx = GradientOf(x), gy = spikes.Track(), gs = state.out.Track(), state_in = state.in] {
          if (!gy->value && !gs->value) return;
          const Tensor dx = Tensor::Empty(u.shape());
          backend.LifBackward(u, sequences, Arrived(gy, u.shape()), gs->value, dx,
                              Accumulator(GradientOf(state_in), state_in.shape()));
          Accumulate(gx, dx);
        });
  }
  return spikes;
}

Tensor Step(const Tensor& x, int site) {
  Backend& backend = BackendOf(x);
  const Tensor spikes = Tensor::Empty(x.shape());
  backend.Step(x, spikes);
  Count(spikes, site);
  if (Tape* tape = Tape::For(x)) {
    tape->Record([=, &backend, gy = spikes.Track()] {
      if (!gy->value) return;
      const Tensor dx = Tensor::Empty(x.shape());
      backend.StepBackward(x, gy->value, dx);
      Accumulate(GradientOf(x), dx);
    });
  }
  return spikes;
}

}  // namespace linnet::ops
