// MinimalRNN: the input reaches the state through one squashed vector and one gate. Paper: Chen,
// arXiv:1711.06788.
//
//     z_t = tanh(W_x x_t + b_z)     u_t = sigmoid(U_h h_{t-1} + U_z z_t + b_u)
//     h_t = u_t h_{t-1} + (1 - u_t) z_t
//
// The gate sees h_{t-1} through a full matrix, so there is no exact parallel form: W_x x and U_z z are done
// for all tokens at once, U_h h token by token. With the size "surrogate" 1 the gate is sigmoid(U_z z_t +
// b_u): a diagonal scan, exact in parallel, but another network.
//
// The gate's bias starts at 1, or with a size "memory" of n steps at log U(1, n - 1).
#include "models/layer_stack.h"
#include "models/scans.h"

namespace linnet::models {
namespace {

class Layer {
 public:
  static constexpr const char* kName = "minimal";

  Layer(const Params& p, const Sizes& c)
      : h_(p.State("h", {c.at("width")})),
        W_x_(p.Matrix("x.weight", {c.at("width"), c.at("width")}, OfInputs(c.at("width")))),
        b_z_(p.Vector("x.bias", {c.at("width")}, init::Zero())),
        U_z_(p.Matrix("z.weight", {c.at("width"), c.at("width")}, OfInputs(c.at("width")))),
        b_u_(p.Vector("u.bias", {c.at("width")}, KeepBias(Chosen(c, "memory", 0), 1))) {
    if (c.at("surrogate") == 1) return;
    U_h_ = p.Matrix("h.weight", {c.at("width"), c.at("width")}, init::Orthogonal(1));
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    const Tensor z = ops::Linear(x, W_x_, b_z_, ops::Act::kTanh);
    if (U_h_) return ops::MinimalRecurrence(z, ops::Linear(z, U_z_, b_u_), U_h_, batch, state[h_]);
    const Tensor u = ops::Linear(z, U_z_, b_u_, ops::Act::kSigmoid);
    return ops::DiagonalScan(u, z, batch, state[h_], ScanKind::kAverage);
  }

 private:
  StateVar h_;
  Tensor W_x_, b_z_, U_z_, b_u_, U_h_;
};

Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadLayerSizes(checkpoint);
  sizes["surrogate"] = checkpoint.Find("blocks.0.minimal.h.weight") ? 0 : 1;
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes = CompleteLayerSizes(std::move(sizes), "MinimalRNN");
  CompleteSize(sizes, "surrogate", 0, 0, 1);
  CompleteSize(sizes, "memory", 0, 0, 1 << 24);
  return sizes;
}

double RecurrenceFlops(const Sizes& s) { return 4.0 * s.at("layers") * s.at("width"); }

}  // namespace

Architecture MinimalRnn() {
  return OfLayers<Layer>("minimal-rnn", "MinimalRNN", ReadSizes, CompleteSizes, RecurrenceFlops);
}

}  // namespace linnet::models
