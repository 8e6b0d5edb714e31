// SRU, the simple recurrent unit. Papers: Lei et al., arXiv:1709.02755, v1 ("Training RNNs as fast as CNNs")
// and v5 (EMNLP 2018), from where the state is in the gates. Initial values: asappresearch/sru.
//
//     h = LN(x)     f_t = sigmoid(W_f h_t + v_f c_{t-1} + b_f)     c_t = f_t c_{t-1} + (1 - f_t) W h_t
//                   r_t = sigmoid(W_r h_t + v_r c_{t-1} + b_r)     x_t <- r_t c_t + (1 - r_t) alpha x_t
//
// Version 1 has v = 0: then the gates know nothing of the step before, c is a diagonal scan, and the parallel
// form is exact. Version 2 is a loop along time in which channels do not mix, and everything else, the
// products above all, is still done for all tokens at once: parallel over sequences and channels, not time.
//
// The way round, (1 - r) alpha x, is the residual connection: there is no other. alpha = sqrt(1 + 2 e^{b_r})
// keeps its size at the start; it is not trained. Sizes: version 1 or 2; highway_bias, -b_r at the start (3
// for deep language models).
#include "models/layer_stack.h"
#include "models/scans.h"

namespace linnet::models {
namespace {

constexpr const char* kName = "sru";

class Layer {
 public:
  Layer(const Params& p, const Sizes& c, int index) : index_(index), c_(p.State("c", {c.at("width")})) {
    const Dim width = c.at("width");
    const float bias = -static_cast<float>(Chosen(c, "highway_bias", 0)), half = std::sqrt(0.5f);
    const auto matrix = [&](const char* name, float gain) {
      return p.Matrix(name, {width, width}, init::Uniform(gain * std::sqrt(3 / static_cast<float>(width))));
    };
    ln_.emplace(p / "ln", width);
    W_ = matrix("x.weight", 1);
    W_f_ = matrix("f.weight", half);
    W_r_ = matrix("r.weight", half);
    b_f_ = p.Vector("f.bias", {width}, init::Zero());
    b_r_ = p.Vector("r.bias", {width}, init::Constant(bias));
    alpha_ = p.Vector("alpha", {width}, init::Constant(std::sqrt(1 + 2 * std::exp(bias))), /*lr_scale=*/0);
    if (c.at("version") == 1) return;
    v_f_ = p.Vector("f.state", {width}, init::Uniform(half * std::sqrt(3.0f)));
    v_r_ = p.Vector("r.state", {width}, init::Uniform(half * std::sqrt(3.0f)));
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    const Tensor h = (*ln_)(x), skip = ops::ScaleColumns(x, alpha_);
    const ops::Act gate = v_f_ ? ops::Act::kNone : ops::Act::kSigmoid;
    const auto u = ops::Linears({{h, W_}, {h, W_f_, b_f_, gate}, {h, W_r_, b_r_, gate}});
    if (v_f_) return Dropped(ops::Sru({u[0], u[1], u[2], skip, v_f_, v_r_}, batch, state[c_]));
    const Tensor c = ops::DiagonalScan(u[1], u[0], batch, state[c_], ScanKind::kAverage);
    return Dropped(ops::Lerp(skip, c, u[2]));
  }

 private:
  Tensor Dropped(const Tensor& x) const { return ops::Dropout(x, 1 + 2 * index_); }

  int index_;
  StateVar c_;
  std::optional<Norm> ln_;
  Tensor W_, W_f_, W_r_, b_f_, b_r_, alpha_, v_f_, v_r_;
};

Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadLayerSizes(checkpoint);
  sizes["version"] = checkpoint.Find("blocks.0.sru.f.state") ? 2 : 1;
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes.erase("ffn");  // the highway is all there is
  sizes = CompleteLayerSizes(std::move(sizes), "SRU");
  CompleteSize(sizes, "version", 2, 1, 2);
  CompleteSize(sizes, "highway_bias", 0, 0, 16);
  return sizes;
}

}  // namespace

Architecture Sru() {
  return {.name = "sru",
          .title = "SRU",
          .matches = [](const Checkpoint& checkpoint) { return IsStackOf(checkpoint, kName); },
          .read_sizes = ReadSizes,
          .complete_sizes = CompleteSizes,
          .make = [](const Params& params, const Sizes& sizes) -> std::unique_ptr<Model> {
            return std::make_unique<Stack<Layer>>(params, StackSizes(sizes), [&](const Params& p, int index) {
              return Layer(p / kName, sizes, index);
            });
          },
          .recurrence_flops = [](const Sizes& s) { return 12.0 * s.at("layers") * s.at("width"); }};
}

}  // namespace linnet::models
