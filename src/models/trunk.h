// What every RWKV is around its blocks: the embedding and its norm, the blocks one after the other, and the
// norm before the head.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "models/initial.h"
#include "models/residual.h"
#include "nn/layers.h"
#include "nn/model.h"

namespace linnet::models {

/// Of every RWKV; each version adds its own.
struct TrunkSizes {
  Dim layers, width, ffn, vocab;
  explicit TrunkSizes(const Sizes& sizes)
      : layers(sizes.at("layers")),
        width(sizes.at("width")),
        ffn(sizes.at("ffn")),
        vocab(sizes.at("vocab")) {}
};

/// Of those whose state is cut into heads.
struct HeadSizes : TrunkSizes {
  Dim head_size;
  explicit HeadSizes(const Sizes& sizes) : TrunkSizes(sizes), head_size(sizes.at("head_size")) {}
  Dim heads() const { return width / head_size; }
};

/// A Block is called as block(x, carried, batch, state) and returns the new x. `carried` is what a block
/// hands on to all later ones; those of most versions leave it empty. A block that also reads what entered
/// the first one, the normed embedding e of its tokens, is called as block(x, carried, e, batch, state).
template <class Block>
class Trunk : public Model {
 public:
  /// `embedding` bounds the embedding's initial values; make_block(params, layer) makes a block. RWKV-2 alone
  /// has no `first_norm`, between the embedding and the blocks.
  Trunk(const Params& p, const TrunkSizes& c, float embedding,
        const std::function<Block(const Params&, int)>& make_block, bool first_norm = true)
      : emb_(p.Matrix("emb.weight", {c.vocab, c.width}, init::Uniform(embedding))) {
    if (first_norm) ln0_.emplace(p / "blocks" / 0 / "ln0", c.width);
    for (int i = 0; i < c.layers; ++i) blocks_.push_back(make_block(p / "blocks" / i, i));
    ln_out_.emplace(p / "ln_out", c.width);
    head_ = p.Matrix("head.weight", {c.vocab, c.width}, init::Orthogonal(0.5f * TallGain(c.vocab, c.width)));
  }

  Tensor Hidden(const Batch& batch, const State& state) const override {
    batch.Validate(state.slots());
    Tensor e = ops::Dropout(Entering(ops::Embedding(emb_, batch.tokens)), kEmbeddingSite);
    if (ln0_) e = (*ln0_)(e);
    Tensor x = e, carried;
    for (const Block& block : blocks_) {
      if (batch.recompute) {
        RunAgainInBackward(block, x, carried, e, batch, state);
      } else {
        x = Call(block, x, carried, e, batch, state);
      }
    }
    return (*ln_out_)(ops::Rows(x, batch.wanted));
  }

  const Tensor& head() const override { return head_; }

 protected:
  /// What becomes of rows of the embedding before the norm.
  virtual Tensor Entering(const Tensor& rows) const { return rows; }

 private:
  static Tensor Call(const Block& block, const Tensor& x, Tensor& carried, const Tensor& e,
                     const Batch& batch, const State& state) {
    if constexpr (requires { block(x, carried, e, batch, state); }) {
      return block(x, carried, e, batch, state);
    } else {
      return block(x, carried, batch, state);
    }
  }

  /// x = block(x), keeping only the block's inputs.
  static void RunAgainInBackward(const Block& block, Tensor& x, Tensor& carried, const Tensor& e,
                                 const Batch& batch, const State& state) {
    const bool given = static_cast<bool>(carried);
    const auto run = [&block, &batch, &state, given](const std::vector<Tensor>& in) {
      Tensor c = given ? in[2] : Tensor();
      std::vector<Tensor> out{Call(block, in[0], c, in[1], batch, state)};
      if (!given && c) out.push_back(c);
      return out;
    };
    const std::vector<Tensor> out = given ? Recompute({x, e, carried}, run) : Recompute({x, e}, run);
    x = out[0];
    if (out.size() > 1) carried = out[1];
  }

  Tensor emb_;
  std::optional<Norm> ln0_;
  std::vector<Block> blocks_;
  std::optional<Norm> ln_out_;
  Tensor head_;
};

}  // namespace linnet::models
