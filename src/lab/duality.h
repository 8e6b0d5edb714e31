// One channel of RWKV-4's time mixing in its two forms, on numbers small enough to follow by hand.
//
// As a recurrence, what a language model runs; a and b are the state, d = exp(-exp(w)) the decay:
//
//     wkv_t = (a + e^{u + k_t} v_t) / (b + e^{u + k_t})        a <- d a + e^{k_t} v_t       b <- d b +
//     e^{k_t}
//
// As a sum over all that was read, what can be trained in parallel: a convolution of e^k v, and one of e^k,
// with the same kernel g = (e^u, 1, d, d^2, d^3, ...), where g_j weighs what stands j tokens back:
//
//     wkv_t = sum_j g_j e^{k_{t-j}} v_{t-j} / sum_j g_j e^{k_{t-j}}
//
// Paper: Peng et al., arXiv:2305.13048, equations 15 to 19.
#pragma once

#include <cstdint>
#include <vector>

namespace linnet::lab {

struct DualityChannel {
  double w = -1;  // the decay is exp(-exp(w))
  double u = 0.5;
  std::vector<double> k, v;

  double decay() const;
};

/// A channel that reads `tokens` random keys and values, rounded to two digits.
DualityChannel RandomChannel(double w, double u, int tokens, uint64_t seed);

struct DualityStep {
  double a, b;                    // the state that the token finds
  double recurrent;               // wkv by the recurrence, in double
  double numerator, denominator;  // the two convolutions
  double convolved;               // their quotient
  float parallel, stepwise;       // what ops::Wkv4 gives for all tokens at once, and one after the other
};

std::vector<DualityStep> BothForms(const DualityChannel& channel);

/// g_0 to g_{length-1}.
std::vector<double> Kernel(const DualityChannel& channel, int length);

}  // namespace linnet::lab
