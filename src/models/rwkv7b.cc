// RWKV-7b: RWKV-7a with attention of deep embeddings (DEA) beside each time mix. Formulas: RWKV-LM,
// RWKV-v7/rwkv_v7b_demo.py.
//
// With x the input of the layer, before its norm, and e the normed embedding of the token:
//
//     q = W_qq x
//     k = (x k1 k2)       * (k_emb[token] + k_emb_x e)
//     v = tanh(x v1 v2)   * (v_emb[token] + v_emb_x e)
//
// Each is mixed with that of the token before (x_q, x_k, x_v; zero at the start) and layer-normed. Then
//
//     y_t = sum_{j <= t} softmax_j(64 tanh(<q_t, k_j> / 1024)) v_j
//
// The demo keeps x k1, x v1 (32 numbers each) and the token of every position, and makes the keys and values
// of the whole text again for each token. We keep the k and v that this gives: more memory (256 + C numbers a
// position), but a step of generation then costs two products with the cache and not a few thousand matrix
// products. The cache has room for "context" tokens; attention refuses to see more.
#include "models/rwkv7_blocks.h"

namespace linnet::models {
namespace {

using ops::Act;

constexpr Dim kCompressed = 32;

/// One of keys and values: f(x n1 n2) * (n_emb[token] + n_emb_x e), mixed with the row before and normed.
class DeepProjection {
 public:
  DeepProjection(const Params& p, const std::string& n, Dim width, Dim vocab, Dim out, Act act)
      : act_(act),
        shift_(p.State(n + "_shift", {out})),
        map_{p.LowRank(n + "1", {width, kCompressed}, init::Orthogonal(1)),
             p.LowRank(n + "2", {kCompressed, out}, init::Orthogonal(1)), Tensor()},
        emb_(p.Matrix(n + "_emb.weight", {vocab, out}, init::Constant(1))),
        emb_x_(p.Matrix(n + "_emb_x.weight", {out, width}, init::Zero())),
        mix_(p.Vector("x_" + n, {1, 1, out}, init::Zero())),
        norm_(p / ("ln" + n), out) {}

  Tensor operator()(const Tensor& x, const Tensor& e, const Batch& batch, const State& state) const {
    const Tensor deep = ops::Add(ops::Embedding(emb_, batch.tokens), ops::Linear(e, emb_x_));
    const Tensor y = ops::Gate(map_(x, Act::kNone, act_), deep, GateKind::kPlain);
    return norm_(ops::ShiftMix(y, {mix_}, batch, state[shift_])[0]);
  }

 private:
  Act act_;
  StateVar shift_;
  LowRank map_;
  Tensor emb_, emb_x_, mix_;
  Norm norm_;
};

class DeepAttention {
 public:
  DeepAttention(const Params& p, const Rwkv7Sizes& c, Dim context)
      : shift_(p.State("q_shift", {kAttentionKeys})),
        keys_(p.State("keys", {context, kAttentionKeys})),
        values_(p.State("values", {context, c.width})),
        length_(p.State("length", {1})),
        qq_(p.Matrix("qq.weight", {kAttentionKeys, c.width}, init::Orthogonal(1))),
        x_q_(p.Vector("x_q", {1, 1, kAttentionKeys}, init::Zero())),
        lnq_(p / "lnq", kAttentionKeys),
        k_(p, "k", c.width, c.vocab, kAttentionKeys, Act::kNone),
        v_(p, "v", c.width, c.vocab, c.width, Act::kTanh) {}

  Tensor operator()(const Tensor& x, const Tensor& e, const Batch& batch, const State& state) const {
    const Tensor q = lnq_(ops::ShiftMix(ops::Linear(x, qq_), {x_q_}, batch, state[shift_])[0]);
    return ops::Attention({q, k_(x, e, batch, state), v_(x, e, batch, state)}, batch,
                          {state[keys_], state[values_], state[length_]}, {.scale = 1.0f / 1024, .cap = 64});
  }

 private:
  StateVar shift_, keys_, values_, length_;
  Tensor qq_, x_q_;
  Norm lnq_;
  DeepProjection k_, v_;
};

struct Block {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  DeepAttention qkv;
  Rwkv7DeepChannelMix ffn;
  int layer;

  Block(const Params& p, const Rwkv7Sizes& c, Dim context, int i)
      : ln1(p / "ln1", c.width),
        ln2(p / "ln2", c.width),
        att(p / "att", c, i),
        qkv(p / "qkv", c, context),
        ffn(p / "ffn", c, i),
        layer(i) {}

  Tensor operator()(Tensor x, Tensor& v_first, const Tensor& e, const Batch& batch,
                    const State& state) const {
    const Tensor attended = qkv(x, e, batch, state);
    x = AddBranch(ops::Add(x, att(ln1(x), v_first, batch, state)), attended, layer, Branch::kTimeMix);
    return AddBranch(x, ffn(ln2(x), e, batch, state), layer, Branch::kChannelMix);
  }
};

}  // namespace

std::unique_ptr<Model> MakeRwkv7b(const Params& params, const Sizes& sizes) {
  const Rwkv7Sizes c(sizes);
  const Dim context = sizes.at("context");
  return std::make_unique<Trunk<Block>>(
      params, c, 1e-4f, [&](const Params& p, int layer) { return Block(p, c, context, layer); });
}

}  // namespace linnet::models
