// Neurons that say 1 or 0, and how often they say 1.
#pragma once

#include <map>
#include <optional>

#include "kernels/backend.h"

namespace linnet::ops {

/// A leaky integrate-and-fire neuron in each channel of x [N, C]: with its membrane v, the state [slots, C],
///
///     u_t = (v_{t-1} + x_t) / 2        s_t = [u_t >= 1]        v_t = u_t (1 - s_t)
///
/// of which it says the spikes s. Gradients flow to x, to state.in if it is tracked and from state.out,
/// through the resets, too; a spike counts as arctan(pi (u - 1)) / pi + 1/2, with its slope, 1 / (1 + (pi (u
/// - 1))^2). `site` tells apart the places of a model, in counts of spikes.
Tensor Lif(const Tensor& x, const Sequences& sequences, const StateRef& state, int site);

/// [x >= 0], the neuron without a membrane, with the same surrogate of a gradient.
Tensor Step(const Tensor& x, int site);

/// While in scope, counts what the neurons of this thread say.
class SpikeCount {
 public:
  SpikeCount();
  ~SpikeCount();
  SpikeCount(const SpikeCount&) = delete;
  SpikeCount& operator=(const SpikeCount&) = delete;

  struct Site {
    int64_t spikes = 0, neurons = 0;  // neurons: times that one could have spiked
    double rate() const {
      return neurons == 0 ? 0 : static_cast<double>(spikes) / static_cast<double>(neurons);
    }
  };
  const std::map<int, Site>& sites() const { return sites_; }
  /// Of all sites but the first, 0, which is the embedding's; none if no neuron was asked.
  std::optional<double> RateOfBlocks() const;

 private:
  friend void Count(const Tensor& spikes, int site);
  SpikeCount* outer_;
  std::map<int, Site> sites_;
};

}  // namespace linnet::ops
