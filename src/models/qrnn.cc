// QRNN, the quasi-recurrent network. Paper: Bradbury et al., arXiv:1611.01576. With the window X_t = (x_t,
// x_{t-1}, ..., x_{t-k+1}),
//
//     z_t = tanh(W_z X_t + b_z)      f_t = sigmoid(W_f X_t + b_f)      o, i likewise
//     f-pooling     h_t = f_t h_{t-1} + (1 - f_t) z_t
//     fo-pooling    c_t = f_t c_{t-1} + (1 - f_t) z_t      h_t = o_t c_t
//     ifo-pooling   c_t = f_t c_{t-1} + i_t z_t            h_t = o_t c_t
//
// What is expensive, the products, knows nothing of the step before and is done for all tokens at once; the
// pooling is a diagonal scan. So the parallel form is exact. Here f keeps, as in the paper; in salesforce's
// code it is the other way round. The state is c and the last k - 1 inputs.
//
// Training with --dropout also has zoneout with the same probability: a gate f becomes 1, so that the channel
// keeps what it has; nothing is scaled for it. Sizes: pooling 0 (f), 1 (fo), 2 (ifo); window k.
#include "models/layer_stack.h"
#include "models/scans.h"

namespace linnet::models {
namespace {

constexpr Dim kOutput = 1, kInput = 2;  // the pooling from which on there is such a gate

class Layer {
 public:
  static constexpr const char* kName = "qrnn";

  Layer(const Params& p, const Sizes& c) : c_(p.State("c", {c.at("width")})) {
    const Dim width = c.at("width"), window = c.at("window"), inputs = window * width;
    for (Dim k = 1; k < window; ++k) before_.push_back(p.State("x." + std::to_string(k), {width}));
    const auto part = [&](const std::string& name) {
      return Part{p.Matrix(name + ".weight", {width, inputs}, OfInputs(inputs)),
                  p.Vector(name + ".bias", {width}, init::Zero())};
    };
    z_ = part("z");
    f_ = part("f");
    if (c.at("pooling") >= kOutput) o_ = part("o");
    if (c.at("pooling") >= kInput) i_ = part("i");
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    std::vector<Tensor> window{x};
    for (StateVar before : before_) window.push_back(ops::Previous(window.back(), batch, state[before]));
    const Tensor X = ops::JoinColumns(window);
    const Tensor z = ops::Linear(X, z_.weight, z_.bias, ops::Act::kTanh);
    const Tensor f = ops::Zoneout(ops::Linear(X, f_.weight, f_.bias, ops::Act::kSigmoid), -1 - c_.id);
    if (!o_.weight) return ops::DiagonalScan(f, z, batch, state[c_], ScanKind::kAverage);
    const Tensor c = !i_.weight ? ops::DiagonalScan(f, z, batch, state[c_], ScanKind::kAverage)
                                : ops::DiagonalScan(f, Opened(z, X, i_), batch, state[c_]);
    return Opened(c, X, o_);
  }

 private:
  struct Part {
    Tensor weight, bias;
  };
  /// y sigmoid(W X + b)
  static Tensor Opened(const Tensor& y, const Tensor& X, const Part& gate) {
    return ops::Gate(y, ops::Linear(X, gate.weight, gate.bias), GateKind::kSigmoid);
  }

  StateVar c_;
  std::vector<StateVar> before_;
  Part z_, f_, o_, i_;
};

Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadLayerSizes(checkpoint);
  sizes["window"] = Extent(checkpoint, "blocks.0.qrnn.z.weight", 1) / sizes["width"];
  Check(sizes["window"] > 0, "{}: blocks.0.qrnn.z.weight has fewer columns than the width {}",
        checkpoint.path().string(), sizes["width"]);
  const auto has = [&](const char* gate) { return checkpoint.Find(gate) != nullptr; };
  sizes["pooling"] = has("blocks.0.qrnn.i.weight") ? kInput : has("blocks.0.qrnn.o.weight") ? kOutput : 0;
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes = CompleteLayerSizes(std::move(sizes), "QRNN");
  CompleteSize(sizes, "window", 2, 1, 16);
  CompleteSize(sizes, "pooling", kOutput, 0, kInput);
  return sizes;
}

}  // namespace

Architecture Qrnn() {
  return OfLayers<Layer>("qrnn", "QRNN", ReadSizes, CompleteSizes,
                         [](const Sizes& s) { return 4.0 * s.at("layers") * s.at("width"); });
}

}  // namespace linnet::models
