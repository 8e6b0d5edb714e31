// S5, one state space with many inputs and outputs. Paper: Smith et al., arXiv:2208.04933; code:
// lindermanlab/S5. With inputs u [H] and a state of P numbers in conjugate pairs, of which P/2 are kept,
//
//     x_k = Lbar x_{k-1} + Bbar u_k         y_k = 2 Re(C x_k) + D u_k
//     Lbar = exp(Lambda Delta)              Bbar = ((Lbar - 1) / Lambda) B        with a Delta per state
//
// Nothing is nonlinear along time, so the parallel form, a scan, is exact. S4D has a small state for each
// feature; here all features share one, which mixes them on the way in and out.
//
// Lambda begins as the eigenvalues of the normal part of HiPPO-LegS of size P / J, J times (models/hippo.h),
// with eigenvectors V: B as V^{-1} and C as a product with V of random real and complex matrices. Sizes:
// state P [the width]; parts J [P / 16]. Lambda, B and Delta learn at half the rate and do not decay. Norms
// are LayerNorms (the paper: BatchNorm), and it looks at the past alone, as a generator must.
#include "models/gated_unit.h"
#include "models/hippo.h"
#include "models/scans.h"
#include "nn/derived.h"

namespace linnet::models {
namespace {

constexpr float kSlow = 0.5f;  // times the learning rate
using Number = std::complex<double>;

/// The state's modes in its parts: eigenvalues and eigenvectors of each are the same.
struct Modes {
  Dim in_part, size;  // modes and numbers of a part
  HippoModes hippo;
  Modes(Dim P, Dim parts)
      : in_part(P / parts / 2), size(P / parts), hippo(NormalHippo(static_cast<int>(P / parts))) {}
  Number lambda(Dim m) const { return hippo.lambda[m % in_part]; }
  Number V(Dim n, Dim m) const { return hippo.V[n * in_part + m % in_part]; }
};

/// V^{-1} B = V* B [2 M, H] of a real B with rows N(0, 1 / H): real parts of all modes, then imaginary ones.
Init InputMatrix(Dim P, Dim width, const Modes& modes) {
  return [=](const Tensor& t, Random& random) {
    const Dim M = P / 2;
    std::vector<double> B(P * width);
    for (double& b : B) b = random.Normal() / std::sqrt(static_cast<double>(width));
    for (Dim m = 0; m < M; ++m) {
      for (Dim h = 0; h < width; ++h) {
        Number sum = 0;
        for (Dim n = 0; n < modes.size; ++n) {
          sum += std::conj(modes.V(n, m)) * B[(m / modes.in_part * modes.size + n) * width + h];
        }
        t.data()[m * width + h] = static_cast<float>(sum.real());
        t.data()[(M + m) * width + h] = static_cast<float>(sum.imag());
      }
    }
  };
}

/// [2 Re C, -2 Im C] [H, 2 M] with C V for C, whose elements have a variance of 1 / P.
Init OutputMatrix(Dim P, Dim width, const Modes& modes) {
  return [=](const Tensor& t, Random& random) {
    const Dim M = P / 2;
    const double scale = std::sqrt(0.5 / static_cast<double>(P));
    for (Dim h = 0; h < width; ++h) {
      std::vector<Number> C(P);
      for (Number& c : C) c = {scale * random.Normal(), scale * random.Normal()};
      for (Dim m = 0; m < M; ++m) {
        Number sum = 0;
        for (Dim n = 0; n < modes.size; ++n) sum += C[m / modes.in_part * modes.size + n] * modes.V(n, m);
        t.data()[h * P + m] = static_cast<float>(2 * sum.real());
        t.data()[h * P + M + m] = static_cast<float>(-2 * sum.imag());
      }
    }
  };
}

class Layer {
 public:
  static constexpr const char* kName = "s5";

  Layer(const Params& p, const Sizes& c) : unit_(p, c.at("width"), c.at("layers")) {
    const Dim width = c.at("width"), P = c.at("state"), M = P / 2;
    const Modes modes(P, Chosen(c, "parts", M));
    const auto of_mode = [&](const std::function<double(Number)>& f) {
      return init::Element([=](Dim m) { return f(modes.lambda(m)); });
    };
    x_ = p.State("x", {P});
    Lambda_re_ = p.Vector("Lambda_re", {M}, of_mode([](Number l) { return std::log(-l.real()); }), kSlow);
    Lambda_im_ = p.Vector("Lambda_im", {M}, of_mode([](Number l) { return l.imag(); }), kSlow);
    log_step_ = p.Vector("log_step", {M}, LogSteps(), kSlow);
    B_ = p.Vector("B", {P, width}, InputMatrix(P, width, modes), kSlow);
    C_ = p.Matrix("C", {width, P}, OutputMatrix(P, width, modes));
    D_ = p.Vector("D", {width}, init::Normal(1));
  }

  Tensor operator()(const Tensor& u, const Batch& batch, const State& state) const {
    const EigenInputs p{Lambda_re_, Lambda_im_, log_step_};
    const auto [Lbar, gain] =
        eigen_({p.re, p.im, p.step}, [&] { return ops::Eigenvalues(p, EigenKind::kZeroOrderHold); });
    const Tensor Bu = ops::ScaleColumns(ops::Linear(u, B_), gain, NumberKind::kComplex);
    const Tensor x = ops::DiagonalScan(Lbar, Bu, batch, state[x_], ScanKind::kComplex);
    return unit_(ops::Add(ops::Linear(x, C_), ops::ScaleColumns(u, D_)));
  }

 private:
  GatedUnit unit_;
  StateVar x_;
  Tensor Lambda_re_, Lambda_im_, log_step_, B_, C_, D_;
  Derived<ops::Eigen> eigen_;
};

Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadLayerSizes(checkpoint);
  sizes["state"] = 2 * Extent(checkpoint, "blocks.0.s5.Lambda_re", 0, 1);
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes = CompleteLayerSizes(std::move(sizes), "S5");
  const Dim width = sizes["width"];
  CompleteSize(sizes, "state", width >= 16 ? width / 16 * 16 : 2, 2, 1 << 16);
  const Dim P = sizes["state"];
  CompleteSize(sizes, "parts", P % 16 == 0 ? P / 16 : 1, 1, P / 2);
  Check(P % (2 * sizes["parts"]) == 0, "a state of {} cannot be cut into {} parts of conjugate pairs", P,
        sizes["parts"]);
  Check(P / sizes["parts"] <= 512,
        "parts of {} numbers are too large to be diagonalised; use more than {} parts", P / sizes["parts"],
        sizes["parts"]);
  return sizes;
}

}  // namespace

Architecture S5() {
  return OfLayers<Layer>("s5", "S5", ReadSizes, CompleteSizes,
                         [](const Sizes& s) { return 8.0 * s.at("layers") * s.at("state"); });
}

}  // namespace linnet::models
