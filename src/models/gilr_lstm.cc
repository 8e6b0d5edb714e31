// GILR-LSTM: an LSTM whose gates see a linear surrogate of its state. Paper: Martin and Cundy, ICLR 2018,
// arXiv:1709.04057. A gated impulse linear recurrence (GILR) s stands in for the h_{t-1} that keeps an LSTM
// from being computed in parallel:
//
//     g_t = sigmoid(V_g x_t + b_g)      j_t = tanh(V_j x_t + b_j)      s_t = g_t s_{t-1} + (1 - g_t) j_t
//     f, i, o = sigmoid(U s_{t-1} + V x_t + b)             z_t = tanh(U_z s_{t-1} + V_z x_t + b_z)
//     c_t = f_t c_{t-1} + i_t z_t                          h_t = o_t c_t
//
// Both recurrences are diagonal scans, so the parallel form is exact. The gates see s_{t-1}, as in the paper;
// its code has s_t. There is no tanh on c. Biases of f begin as 5, as in its code; with a size "memory" of n
// steps those of g and f are log U(1, n - 1) and i's their negatives, without which 64 channels do not learn
// to remember 1000 steps.
#include "models/layer_stack.h"
#include "models/scans.h"

namespace linnet::models {
namespace {

class Layer {
 public:
  static constexpr const char* kName = "gilr";

  Layer(const Params& p, const Sizes& c)
      : s_(p.State("s", {c.at("width")})),
        s_before_(p.State("s.before", {c.at("width")})),
        c_(p.State("c", {c.at("width")})) {
    const Dim width = c.at("width"), memory = Chosen(c, "memory", 0);
    const auto part = [&](const std::string& name, Dim inputs, const Init& bias) {
      return Part{p.Matrix(name + ".weight", {width, inputs}, OfInputs(inputs)),
                  p.Vector(name + ".bias", {width}, bias)};
    };
    g_ = part("g", width, KeepBias(memory, 0));
    j_ = part("j", width, init::Zero());
    f_ = part("f", 2 * width, KeepBias(memory, 5));
    i_ = part("i", 2 * width, Negative(KeepBias(memory, 0)));
    o_ = part("o", 2 * width, init::Zero());
    z_ = part("z", 2 * width, init::Zero());
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    const auto gj = ops::Linears({Of(g_, x, ops::Act::kSigmoid), Of(j_, x, ops::Act::kTanh)});
    const Tensor s = ops::DiagonalScan(gj[0], gj[1], batch, state[s_], ScanKind::kAverage);
    // (U V) (s_{t-1}, x_t) = U s_{t-1} + V x_t
    const Tensor sx = ops::JoinColumns({ops::Previous(s, batch, state[s_before_]), x});
    const auto fioz = ops::Linears({Of(f_, sx, ops::Act::kSigmoid), Of(i_, sx, ops::Act::kNone),
                                    Of(o_, sx, ops::Act::kNone), Of(z_, sx, ops::Act::kTanh)});
    const Tensor c =
        ops::DiagonalScan(fioz[0], ops::Gate(fioz[3], fioz[1], GateKind::kSigmoid), batch, state[c_]);
    return ops::Gate(c, fioz[2], GateKind::kSigmoid);
  }

 private:
  struct Part {
    Tensor weight, bias;
  };
  static ops::Product Of(const Part& part, const Tensor& x, ops::Act act) {
    return {x, part.weight, part.bias, act};
  }
  static Init Negative(const Init& init) {
    return [init](const Tensor& t, Random& random) {
      init(t, random);
      for (Dim i = 0; i < t.size(); ++i) t.data()[i] *= -1;
    };
  }

  StateVar s_, s_before_, c_;
  Part g_, j_, f_, i_, o_, z_;
};

Sizes CompleteSizes(Sizes sizes) {
  sizes = CompleteLayerSizes(std::move(sizes), "GILR-LSTM");
  CompleteSize(sizes, "memory", 0, 0, 1 << 24);
  return sizes;
}

}  // namespace

Architecture GilrLstm() {
  return OfLayers<Layer>("gilr-lstm", "GILR-LSTM", ReadLayerSizes, CompleteSizes,
                         [](const Sizes& s) { return 8.0 * s.at("layers") * s.at("width"); });
}

}  // namespace linnet::models
