// S4, a structured state space for each feature. Paper: Gu et al., arXiv:2111.00396; code: state-spaces/s4.
// Feature h of u drives N numbers that obey, in continuous time,
//
//     x' = A x + B u      y = C x + D u      A = diag(Lambda) - P P*      Lambda = -exp(A_re) + i A_im
//
// A begins as HiPPO-LegS (models/hippo.h), whose N numbers are the past's coefficients in Legendre
// polynomials. It is normal but for a matrix of rank one: in the eigenvectors V of its normal part, Lambda
// are their eigenvalues, P = V* P_LegS, B = V* B_LegS. Of conjugate pairs M = N/2 are kept. Cut into steps of
// length Delta by the bilinear rule,
//
//     x_k = Abar x_{k-1} + Bbar u_k      y_k = C x_k + D u_k                             the recurrence
//     Abar = (1 - Delta/2 A)^{-1} (1 + Delta/2 A)      Bbar = (1 - Delta/2 A)^{-1} Delta B
//     y = u * K + D u                    K_l = C Abar^l Bbar                             the convolution
//
// Abar, too, is diagonal plus rank one, so a step costs O(N). Training has all rows at once: K from Cauchy
// sums (kernels/cpu/dplr_kernel.cc), the convolution by FFT. That begins from an empty state and leaves none:
// generation, and samples trained in chunks, which have states, run the recurrence, forward and back.
//
// Exact? Both forms are the same function up to rounding. The paper learns C (1 - Abar^L) for one length L;
// here C itself is learnt and K is exact for any length.
//
// Sizes: state N [64]. As in the code, all features share Lambda, P and B; Delta begins between 1/1000 and
// 1/10. These learn at a quarter of the rate and do not decay. The phases of V are chosen so that P and B
// begin as real numbers.
#include <algorithm>

#include "models/gated_unit.h"
#include "models/hippo.h"
#include "models/scans.h"
#include "nn/derived.h"

namespace linnet::models {
namespace {

constexpr float kSlow = 0.25f;  // times the learning rate

/// |V* x| for x_n = sqrt(factor (2 n + 1)): what LegS's P (a factor of 1/2) and B (1) are for mode m, once
/// its eigenvector has the right phase. They are multiples of each other, so one phase will do.
double InEigenvectors(const HippoModes& hippo, Dim N, Dim m, double factor) {
  std::complex<double> sum = 0;
  for (Dim n = 0; n < N; ++n) {
    sum += std::conj(hippo.V[n * (N / 2) + m]) * std::sqrt(factor * (2 * static_cast<double>(n) + 1));
  }
  return std::abs(sum);
}

class Layer {
 public:
  static constexpr const char* kName = "s4";

  Layer(const Params& p, const Sizes& c) : unit_(p, c.at("width"), c.at("layers")) {
    const Dim width = c.at("width"), N = c.at("state"), M = N / 2;
    const HippoModes hippo = p.Has("A_re") ? HippoModes() : NormalHippo(static_cast<int>(N));
    const auto real = [&](double factor) {
      return init::Element([=](Dim i) { return i < M ? InEigenvectors(hippo, N, i, factor) : 0; });
    };
    x_ = p.State("x", {2, M, width});
    A_re_ =
        p.Vector("A_re", {M}, init::Element([&](Dim m) { return std::log(-hippo.lambda[m].real()); }), kSlow);
    A_im_ = p.Vector("A_im", {M}, init::Element([&](Dim m) { return hippo.lambda[m].imag(); }), kSlow);
    P_ = p.Vector("P", {2, M}, real(0.5), kSlow);
    B_ = p.Vector("B", {2, M}, real(1), kSlow);
    log_dt_ = p.Vector("log_dt", {width}, LogSteps(), kSlow);
    C_ = p.Vector("C", {2, M, width}, init::Normal(std::sqrt(0.5f)));
    D_ = p.Vector("D", {width}, init::Normal(1));
  }

  Tensor operator()(const Tensor& u, const Batch& batch, const State& state) const {
    const DplrInputs in_steps = in_steps_({A_re_, A_im_, P_, B_, log_dt_, C_}, [&] {
      return ops::Bilinear({A_re_, A_im_, P_, B_, log_dt_}, C_);
    });
    const Tensor y = IsWhole(batch, state[x_])
                         ? ops::LongConvolution(u, ops::DplrKernel(in_steps, Longest(batch)), batch)
                         : ops::DplrRecurrence(u, in_steps, batch, state[x_]);
    return unit_(ops::Add(y, ops::ScaleColumns(u, D_)));
  }

 private:
  /// Whether these are whole sequences in training, with nothing before and nothing after them.
  static bool IsWhole(const Batch& batch, const StateRef& state) {
    const Tensor& before = state.in;
    return Tape::Training() && !batch.goes_on && !before.tracked() &&
           std::all_of(before.data(), before.data() + before.size(), [](float x) { return x == 0; });
  }
  static Dim Longest(const Batch& batch) {
    int longest = 0;
    for (int s = 0; s < batch.sequences(); ++s) longest = std::max(longest, batch.length(s));
    return longest;
  }

  GatedUnit unit_;
  StateVar x_;
  Tensor A_re_, A_im_, P_, B_, log_dt_, C_, D_;
  Derived<DplrInputs> in_steps_;
};

Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadLayerSizes(checkpoint);
  sizes["state"] = 2 * Extent(checkpoint, "blocks.0.s4.A_re", 0, 1);
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes = CompleteLayerSizes(std::move(sizes), "S4");
  CompletePairs(sizes, "state", 64, 256);
  return sizes;
}

}  // namespace

Architecture S4() {
  return OfLayers<Layer>("s4", "S4", ReadSizes, CompleteSizes, [](const Sizes& s) {
    return 12.0 * s.at("layers") * s.at("width") * s.at("state");
  });
}

}  // namespace linnet::models
