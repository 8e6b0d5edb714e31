// The Transformer: softmax attention, what all that follows is measured against. Paper: Vaswani et al.,
// arXiv:1706.03762. With h = LN(x) and, in each head of D channels,
//
//     q_t = W_q h_t + b_q      k_t = W_k h_t      v_t = W_v h_t
//     y_t = sum_{j <= t} softmax_j(<q_t, k_j> / sqrt(D)) v_j        x <- x + W_o y        then x <- x +
//     MLP(LN(x))
//
// Training has all rows of a sequence look back at once; generation keeps k and v of all tokens seen and
// appends one of each: the same sums, exactly. So its state grows with the text: it is the one model here
// that must look back at everything for every token. Room for "context" tokens is made in advance, and
// positions are learned for as many; more are refused.
//
// Unlike the paper's, norms come before each branch, as in GPT-2, and positions are learned, not sines. A
// bias of the keys would add the same number to all scores of a row and is left out; that of the queries, [H,
// D], says in its shape how the channels are cut into heads.
#include "models/lineage.h"
#include "models/stack.h"

namespace linnet::models {
namespace {

class SelfAttention {
 public:
  static constexpr const char* kName = "attn";

  SelfAttention(const Params& p, const Sizes& c)
      : width_(c.at("width")),
        head_size_(c.at("head_size")),
        keys_(p.State("keys", Cache(c))),
        values_(p.State("values", Cache(c))),
        length_(p.State("length", {1})),
        query_(p.Matrix("query.weight", {width_, width_}, init::Normal(kStackSpread))),
        query_bias_(p.Vector("query.bias", {width_ / head_size_, head_size_}, init::Zero())),
        key_(p.Matrix("key.weight", {width_, width_}, init::Normal(kStackSpread))),
        value_(p.Matrix("value.weight", {width_, width_}, init::Normal(kStackSpread))),
        proj_(p.Matrix("proj.weight", {width_, width_}, OfBranch(c.at("layers")))) {}

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const auto qkv = ops::Linears({{h, query_, query_bias_}, {h, key_}, {h, value_}});
    const float scale = 1 / std::sqrt(static_cast<float>(head_size_));
    const Tensor y = ops::Attention({qkv[0], qkv[1], qkv[2]}, batch,
                                    {state[keys_], state[values_], state[length_]}, {scale, /*cap=*/0});
    return ops::Linear(y, proj_);
  }

 private:
  static Shape Cache(const Sizes& c) {
    return {c.at("width") / c.at("head_size"), c.at("context"), c.at("head_size")};
  }

  Dim width_, head_size_;
  StateVar keys_, values_, length_;
  Tensor query_, query_bias_, key_, value_, proj_;
};

}  // namespace

Architecture Transformer() {
  // Attention grows with the text and is not counted.
  return OfHeads<SelfAttention>("transformer", "Transformer", [](const Sizes&) { return 0.0; });
}

}  // namespace linnet::models
