// S4D, a diagonal state space for each feature. Paper: Gu et al., arXiv:2206.11893; code: state-spaces/s4.
// Feature h of u runs through N/2 complex modes of its own, here m:
//
//     x' = A x + u             y = 2 Re sum_m C x + D u        in continuous time, A = -exp(A_re) + i A_im
//     x_k = a x_{k-1} + u_k    y_k = 2 Re sum_m C b x_k + D u_k
//     a = exp(Delta A), b = (a - 1) / A                        held from step to step (zero-order hold)
//
// The factor b, which is the same for all tokens, stands at C instead of u: the state is the paper's over b.
// Nothing is nonlinear along time, so y is a convolution with K_l = 2 Re sum_m C b a^l; but neither kernel
// nor FFT is needed, as the recurrence itself is run for all features at once (kernels/cpu/state_space.cc),
// exactly.
//
// Sizes: state N [64]; init, what A begins as (n = 0, 1, ...): 0 Lin, -1/2 + i pi n; 1 Inv, -1/2 + i N/pi
// (N / (2n + 1) - 1); 2 LegS, the eigenvalues of HiPPO-LegS; 3 Real, -(n + 1), which stays real. Steps Delta
// begin between 1/1000 and 1/10. A and Delta learn at a quarter of the rate and do not decay.
#include <numbers>

#include "models/gated_unit.h"
#include "models/hippo.h"
#include "models/scans.h"
#include "nn/derived.h"

namespace linnet::models {
namespace {

enum Beginning : Dim { kLin, kInv, kLegS, kReal };
constexpr float kSlow = 0.25f;  // times the learning rate

std::complex<double> InitialA(Dim start, Dim N, Dim n, const HippoModes& hippo) {
  const auto size = static_cast<double>(N), index = static_cast<double>(n);
  const double pi = std::numbers::pi;
  if (start == kInv) return {-0.5, size / pi * (size / (2 * index + 1) - 1)};
  if (start == kLegS) return hippo.lambda[n];
  if (start == kReal) return {-(index + 1), 0};
  return {-0.5, pi * index};
}

class Layer {
 public:
  static constexpr const char* kName = "s4d";

  Layer(const Params& p, const Sizes& c)
      : width_(c.at("width")), modes_(c.at("state") / 2), unit_(p, width_, c.at("layers")) {
    const Dim start = c.at("init"), N = c.at("state"), width = width_;
    const HippoModes hippo = start == kLegS ? NormalHippo(static_cast<int>(N)) : HippoModes();
    const auto of_mode = [&](const std::function<double(std::complex<double>)>& f) {
      return init::Element([=](Dim i) { return f(InitialA(start, N, i / width, hippo)); });
    };
    const Shape shape{modes_, width_};
    x_ = p.State("x", {2, modes_, width_});
    A_re_ = p.Vector("A_re", shape, of_mode([](auto a) { return std::log(-a.real()); }), kSlow);
    if (start != kReal) A_im_ = p.Vector("A_im", shape, of_mode([](auto a) { return a.imag(); }), kSlow);
    log_dt_ = p.Vector("log_dt", {width_}, LogSteps(), kSlow);
    C_ = p.Vector("C", {2, modes_, width_}, init::Normal(std::sqrt(0.5f)));
    D_ = p.Vector("D", {width_}, init::Normal(1));
  }

  Tensor operator()(const Tensor& u, const Batch& batch, const State& state) const {
    const auto [a, Cb] = in_steps_({A_re_, A_im_, log_dt_, C_}, [this] { return InSteps(); });
    const Tensor y = ops::StateSpace({u, a, Cb}, batch, state[x_]);
    return unit_(ops::Add(y, ops::ScaleColumns(u, D_)));
  }

 private:
  struct Steps {
    Tensor a, Cb;
  };
  Steps InSteps() const {
    const auto [a, b] = ops::Eigenvalues({A_re_, A_im_, log_dt_}, EigenKind::kZeroOrderHold);
    const Tensor Cb =
        ops::ScaleColumns(C_.Reshape({1, C_.size()}), b.Reshape({C_.size()}), NumberKind::kComplex);
    return {a.Reshape(C_.shape()), Cb.Reshape(C_.shape())};
  }

  Dim width_, modes_;
  GatedUnit unit_;
  StateVar x_;
  Tensor A_re_, A_im_, log_dt_, C_, D_;
  Derived<Steps> in_steps_;
};

/// Which of the complex ones it began as cannot be told any more.
Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadLayerSizes(checkpoint);
  sizes["state"] = 2 * Extent(checkpoint, "blocks.0.s4d.A_re", 0);
  sizes["init"] = checkpoint.Find("blocks.0.s4d.A_im") ? kLin : kReal;
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes = CompleteLayerSizes(std::move(sizes), "S4D");
  CompletePairs(sizes, "state", 64, 1024);
  CompleteSize(sizes, "init", kLin, kLin, kReal);
  return sizes;
}

}  // namespace

Architecture S4d() {
  return OfLayers<Layer>("s4d", "S4D", ReadSizes, CompleteSizes,
                         [](const Sizes& s) { return 6.0 * s.at("layers") * s.at("width") * s.at("state"); });
}

}  // namespace linnet::models
