// LRU, the linear recurrent unit, and the ladder that leads to it from a tanh RNN. Paper: Orvieto et al.,
// arXiv:2303.06349. With inputs u [H] and a state x [N],
//
//     x_k = diag(lambda) x_{k-1} + gamma (B u_k)      y_k = Re(C x_k) + D u_k
//     lambda = exp(-exp(nu) + i exp(theta))           gamma = exp(gamma_log)
//
// B, C, x are complex. Nothing is nonlinear along time, so the parallel form, a scan, is exact.
//
// Sizes: rung, how much of this there is (below); state N [the width]; r_min and r_max, thousandths, between
// which |lambda| begins, uniformly over the ring's area; phase, thousandths of 2 pi below which its angle
// does.
//
//     0 tanh      x_k = tanh(A x_{k-1} + B u_k), all real, A of spectral radius r_max: token by token
//     1 linear    the same without the tanh
//     2 diagonal  a complex lambda, itself the parameter: learning may push it out of the unit disc
//     3 exp       lambda = exp(-nu + i theta)
//     4 stable    lambda as above: |lambda| < 1 whatever is learnt; it begins anywhere in the disc
//     5 ring      begins on the ring, near 1: long memories
//     6 gamma     what arrives is scaled to sqrt(1 - |lambda|^2) at first, or states near 1 would swell: LRU
//
// lambda, gamma and B learn at half the rate and do not decay. Norms are LayerNorms (the paper: BatchNorm).
#include <complex>
#include <numbers>

#include "models/gated_unit.h"
#include "models/scans.h"
#include "nn/derived.h"

namespace linnet::models {
namespace {

enum Rung : Dim { kTanh, kLinear, kDiagonal, kExp, kStable, kRing, kGamma };
constexpr float kSlow = 0.5f;  // times the learning rate

/// |lambda| and its angle at the start.
struct Ring {
  double r_min, r_max, phase;
  double Radius(Random& random) const {  // never 0, of which there is no logarithm
    const double u = std::max(random.Uniform(), 1e-6);
    return std::sqrt(u * (r_max * r_max - r_min * r_min) + r_min * r_min);
  }
  double Angle(Random& random) const { return phase * std::max(random.Uniform(), 1e-6); }
  /// [2, N]: real parts, then imaginary ones.
  Init Numbers(Dim N) const {
    return [ring = *this, N](const Tensor& t, Random& random) {
      for (Dim n = 0; n < N; ++n) {
        const auto lambda = std::polar(ring.Radius(random), ring.Angle(random));
        t.data()[n] = static_cast<float>(lambda.real());
        t.data()[N + n] = static_cast<float>(lambda.imag());
      }
    };
  }
};

Ring RingOf(const Sizes& c) {
  const bool ring = c.at("rung") >= kRing;
  return {Chosen(c, "r_min", ring ? 900 : 0) / 1e3, Chosen(c, "r_max", ring ? 999 : 1000) / 1e3,
          Chosen(c, "phase", 1000) / 1e3 * 2 * std::numbers::pi};
}

class Layer {
 public:
  static constexpr const char* kName = "lru";

  Layer(const Params& p, const Sizes& c) : rung_(c.at("rung")), unit_(p, c.at("width"), c.at("layers")) {
    const Dim width = c.at("width"), N = c.at("state"), numbers = rung_ < kDiagonal ? N : 2 * N;
    x_ = p.State("x", {numbers});
    B_ = p.Vector("B", {numbers, width}, OfInputs(width, rung_ < kDiagonal ? 1 : std::sqrt(0.5f)), kSlow);
    C_ = p.Matrix("C", {width, numbers}, OfInputs(N));  // Re(C x) = [Re C, -Im C] (Re x, Im x)
    D_ = p.Vector("D", {width}, init::Normal(1));
    const Ring ring = RingOf(c);
    if (rung_ < kDiagonal) {
      A_ = p.Vector(rung_ == kTanh ? "A_tanh" : "A", {N, N}, OfInputs(N, static_cast<float>(ring.r_max)),
                    kSlow);
    } else {
      MakeEigenvalues(p, N, ring);
    }
  }

  Tensor operator()(const Tensor& u, const Batch& batch, const State& state) const {
    return unit_(ops::Add(ops::Linear(X(u, batch, state), C_), ops::ScaleColumns(u, D_)));
  }

 private:
  /// The states x_k.
  Tensor X(const Tensor& u, const Batch& batch, const State& state) const {
    const Tensor Bu = ops::Linear(u, B_);
    if (rung_ < kDiagonal) {
      return ops::DenseRecurrence(Bu, A_, rung_ == kTanh ? ops::Act::kTanh : ops::Act::kNone, batch,
                                  state[x_]);
    }
    if (rung_ == kDiagonal) return ops::DiagonalScan(lambda_, Bu, batch, state[x_], ScanKind::kComplex);
    const EigenKind kind = rung_ == kExp ? EigenKind::kExp : EigenKind::kStable;
    const auto [lambda, gamma] = eigen_({nu_, theta_, gamma_log_}, [&] {
      return ops::Eigenvalues({nu_, theta_, gamma_log_}, kind);
    });
    const Tensor b = gamma_log_ ? ops::ScaleColumns(Bu, gamma, NumberKind::kComplex) : Bu;
    return ops::DiagonalScan(lambda, b, batch, state[x_], ScanKind::kComplex);
  }

  void MakeEigenvalues(const Params& p, Dim N, const Ring& ring) {
    const auto each = [](const std::function<double(Random&)>& value) -> Init {
      return [value](const Tensor& t, Random& random) {
        for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(value(random));
      };
    };
    const auto log = [](double x) { return std::log(x); };
    if (rung_ == kDiagonal) {
      lambda_ = p.Vector("lambda", {2, N}, ring.Numbers(N), kSlow);
    } else if (rung_ == kExp) {
      nu_ = p.Vector("nu", {N}, each([=](Random& r) { return -log(ring.Radius(r)); }), kSlow);
      theta_ = p.Vector("theta", {N}, each([=](Random& r) { return ring.Angle(r); }), kSlow);
    } else {
      nu_ = p.Vector("nu_log", {N}, each([=](Random& r) { return log(-log(ring.Radius(r))); }), kSlow);
      theta_ = p.Vector("theta_log", {N}, each([=](Random& r) { return log(ring.Angle(r)); }), kSlow);
    }
    if (rung_ < kGamma) return;
    gamma_log_ = p.Vector("gamma_log", {N}, init::Element([nu = nu_](Dim n) {
                            return 0.5 * std::log(1 - std::exp(-2 * std::exp(double{nu.data()[n]})));
                          }),
                          kSlow);
  }

  Dim rung_;
  GatedUnit unit_;
  StateVar x_;
  Tensor A_, B_, C_, D_, lambda_, nu_, theta_, gamma_log_;
  Derived<ops::Eigen> eigen_;
};

/// A stable one is read as being on the ring, which is a matter of how it began.
Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadLayerSizes(checkpoint);
  constexpr const char* kNames[] = {"A_tanh", "A", "lambda", "nu", "", "nu_log", "gamma_log"};
  for (Dim rung = kTanh; rung <= kGamma; ++rung) {
    const std::string name = kNames[rung];
    if (!name.empty() && checkpoint.Find("blocks.0.lru." + name)) sizes["rung"] = rung;
  }
  Check(sizes.contains("rung"), "{}: the first layer has no eigenvalues and no matrix A",
        checkpoint.path().string());
  sizes["state"] = Extent(checkpoint, "blocks.0.lru.B", 0) / (sizes["rung"] < kDiagonal ? 1 : 2);
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes = CompleteLayerSizes(std::move(sizes), "LRU");
  CompleteSize(sizes, "rung", kGamma, kTanh, kGamma);
  CompleteSize(sizes, "state", sizes["width"], 1, 1 << 20);
  const bool ring = sizes["rung"] >= kRing;
  CompleteSize(sizes, "r_min", ring ? 900 : 0, 0, 999);
  CompleteSize(sizes, "r_max", ring ? 999 : 1000, sizes["r_min"] + 1, 1000);
  CompleteSize(sizes, "phase", 1000, 1, 1000);
  return sizes;
}

}  // namespace

Architecture Lru() {
  return OfLayers<Layer>("lru", "LRU", ReadSizes, CompleteSizes,
                         [](const Sizes& s) { return 10.0 * s.at("layers") * s.at("state"); });
}

}  // namespace linnet::models
