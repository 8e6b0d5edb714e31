// The Linear Transformer: "Transformers are RNNs", Katharopoulos et al., arXiv:2006.16236. Attention whose
// weights are products phi(q) phi(k) instead of exponentials, with phi(x) = elu(x) + 1, can be summed in
// another order. In each head, with S a matrix and z a vector that begin as zeros:
//
//     S_t = S_{t-1} + phi(k_t) v_t^T      z_t = z_{t-1} + phi(k_t)
//     y_t = S_t^T phi(q_t) / (<phi(q_t), z_t> + 1e-6)
//
// S is WKV-6 without decay (its w is -infinity) and with a bonus u of 1, which makes S_{t-1} + u k v^T the
// S_t that includes the present token: the same op, in chunks of products in training, is exact here too.
// Queries are not divided by sqrt(D). The paper's layers normalise after each branch; these, like all here,
// before it. Biases of q and k are kept, as they shape phi; [H, D] of the queries' says how the channels are
// cut into heads.
#include "models/lineage.h"
#include "models/stack.h"

namespace linnet::models {
namespace {

constexpr float kEps = 1e-6f;

Tensor Filled(Dim width, float value) {
  const Tensor t = Tensor::Empty({width});
  std::fill_n(t.data(), width, value);
  return t;
}

class LinearAttention {
 public:
  static constexpr const char* kName = "linear_attn";

  LinearAttention(const Params& p, const Sizes& c)
      : width_(c.at("width")),
        heads_(width_ / c.at("head_size")),
        s_(p.State("s", {heads_, c.at("head_size"), c.at("head_size")})),
        z_(p.State("z", {width_})),
        no_decay_(Filled(width_, -INFINITY)),
        present_(Filled(width_, 1)),
        query_(p.Matrix("query.weight", {width_, width_}, init::Normal(kStackSpread))),
        query_bias_(p.Vector("query.bias", {heads_, c.at("head_size")}, init::Zero())),
        key_(p.Matrix("key.weight", {width_, width_}, init::Normal(kStackSpread))),
        key_bias_(p.Vector("key.bias", {width_}, init::Zero())),
        value_(p.Matrix("value.weight", {width_, width_}, init::Normal(kStackSpread))),
        proj_(p.Matrix("proj.weight", {width_, width_}, OfBranch(c.at("layers")))) {}

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const auto qkv = ops::Linears({{h, query_, query_bias_, ops::Act::kEluPlusOne},
                                   {h, key_, key_bias_, ops::Act::kEluPlusOne},
                                   {h, value_}});
    const int heads = static_cast<int>(heads_);
    const Tensor sum = ops::Wkv6({qkv[0], qkv[1], qkv[2], no_decay_, present_}, batch, state[s_], heads);
    return ops::Linear(ops::DivideByMass(sum, qkv[0], qkv[1], batch, state[z_], heads, kEps), proj_);
  }

 private:
  Dim width_, heads_;
  StateVar s_, z_;
  Tensor no_decay_, present_;
  Tensor query_, query_bias_, key_, key_bias_, value_, proj_;
};

}  // namespace

Architecture LinearTransformer() {
  // Per element of the state, as WKV-6: five operations.
  return OfHeads<LinearAttention>("linear-transformer", "Linear Transformer", Wkv6RecurrenceFlops);
}

}  // namespace linnet::models
