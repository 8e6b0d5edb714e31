// RWKV-7a: RWKV-7 with deep embeddings. Formulas: RWKV-LM, RWKV-v7/rwkv_v7a_demo.py.
//
// Each layer has a table that gives every token of the vocabulary a matrix E of 32 x 32. With h the normed
// input, h_k its mix with the token before, and e the normed embedding of the token:
//
//     E = s_emb[token] + s_emb_x e        channel mix: W_v (relu(W_k h_k)^2 * (((h s1) E) s2 + s0))
//
// A table is only looked up: it may be larger than all else and lie in the mapped file, and costs no time.
// The time mix is that of RWKV-7 (rwkv7.cc).
//
// The initial values of what is new here are ours, as none are published: E = 0 and s0 = 1 make a fresh model
// an RWKV-7, and leave gradients to everything but s1 and s2, which follow once E has moved.
#include "models/rwkv7_blocks.h"

namespace linnet::models {

using ops::Act;
using ops::WeightLayout;

Rwkv7DeepChannelMix::Rwkv7DeepChannelMix(const Params& p, const Rwkv7Sizes& c, int layer)
    : shift_(p.State("shift", {c.width})),
      x_k_(p.Vector("x_k", {1, 1, c.width}, Rwkv7ChannelMixInit(c, layer))),
      key_(p.Matrix("key.weight", {c.ffn, c.width}, init::Orthogonal(1))),
      value_(p.Matrix("value.weight", {c.width, c.ffn}, init::Zero())),
      s_emb_(p.Matrix("s_emb.weight", {c.vocab, kDeepRank * kDeepRank}, init::Zero())),
      s_emb_x_(p.Matrix("s_emb_x.weight", {kDeepRank * kDeepRank, c.width}, init::Zero())),
      s0_(p.Vector("s0", {1, 1, c.ffn}, init::Constant(1))),
      s1_(p.LowRank("s1", {c.width, kDeepRank}, init::Orthogonal(0.1f))),
      s2_(p.LowRank("s2", {kDeepRank, c.ffn}, init::Orthogonal(0.1f))) {}

Tensor Rwkv7DeepChannelMix::operator()(const Tensor& x, const Tensor& e, const Batch& batch,
                                       const State& state) const {
  const Tensor xk = ops::ShiftMix(x, {x_k_}, batch, state[shift_])[0];
  const Tensor k = ops::Linear(xk, key_, {}, Act::kRelu2);
  const Tensor deep = ops::Add(ops::Embedding(s_emb_, batch.tokens), ops::Linear(e, s_emb_x_));
  const Tensor s = ops::RowMatMul(ops::Linear(x, s1_, {}, Act::kNone, WeightLayout::kInOut), deep, kDeepRank);
  const Tensor scale = ops::Linear(s, s2_, s0_, Act::kNone, WeightLayout::kInOut);
  return ops::Linear(ops::Gate(k, scale, GateKind::kPlain), value_);
}

namespace {

struct Block {
  Norm ln1, ln2;
  Rwkv7TimeMix att;
  Rwkv7DeepChannelMix ffn;
  int layer;

  Block(const Params& p, const Rwkv7Sizes& c, int i)
      : ln1(p / "ln1", c.width),
        ln2(p / "ln2", c.width),
        att(p / "att", c, i),
        ffn(p / "ffn", c, i),
        layer(i) {}

  Tensor operator()(Tensor x, Tensor& v_first, const Tensor& e, const Batch& batch,
                    const State& state) const {
    x = AddBranch(x, att(ln1(x), v_first, batch, state), layer, Branch::kTimeMix);
    return AddBranch(x, ffn(ln2(x), e, batch, state), layer, Branch::kChannelMix);
  }
};

}  // namespace

std::unique_ptr<Model> MakeRwkv7a(const Params& params, const Sizes& sizes) {
  const Rwkv7Sizes c(sizes);
  return std::make_unique<Trunk<Block>>(params, c, 1e-4f,
                                        [&c](const Params& p, int layer) { return Block(p, c, layer); });
}

}  // namespace linnet::models
