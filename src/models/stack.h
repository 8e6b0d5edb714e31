// What a model that is no RWKV is around its blocks: the embedding, positions if its blocks know no order by
// themselves, the blocks one after the other, and the norm before the head. Its tensors have the names of
// minGPT, which those of RWKV come from: emb, pos_emb, blocks.N.ln1, .ln2, .mlp.fc, .mlp.proj, ln_f, head.
//
// Most are pre-norm blocks, x + Mixer(LN(x)), then x + MLP(LN(x)) with MLP(x) = W_proj relu(W_fc x)^2,
// without biases. The square is RWKV's (and Primer's, So et al., arXiv:2109.08668): so models differ in their
// mixer alone. Initial values are GPT-2's: N(0, 0.02^2), what is added to the residual stream by 1/sqrt(2 L)
// smaller.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/residual.h"
#include "models/sizes.h"
#include "nn/layers.h"
#include "nn/model.h"

namespace linnet::models {

struct StackSizes {
  Dim layers, width, vocab;
  Dim positions;  // rows of pos_emb, the most tokens that a sequence may have; 0: there is none
  /// With sizes["context"] positions if the model has `input_positions`.
  explicit StackSizes(const Sizes& sizes, bool input_positions = false)
      : layers(sizes.at("layers")),
        width(sizes.at("width")),
        vocab(sizes.at("vocab")),
        positions(input_positions ? sizes.at("context") : 0) {}
};

inline constexpr float kStackSpread = 0.02f;
/// Positions of a model that nobody chose them for.
inline constexpr Dim kStackContext = 1024;

/// A matrix whose product is added to the residual stream of a model of so many layers.
inline Init OfBranch(Dim layers) {
  return init::Normal(kStackSpread / std::sqrt(2 * static_cast<float>(layers)));
}

/// A Block is called as block(x, batch, state) and returns the new x.
template <class Block>
class Stack : public Model {
 public:
  /// make_block(params, layer) makes a block.
  Stack(const Params& p, const StackSizes& c, const std::function<Block(const Params&, int)>& make_block)
      : emb_(p.Matrix("emb.weight", {c.vocab, c.width}, init::Normal(kStackSpread))) {
    if (c.positions > 0) {
      pos_emb_ = p.Matrix("pos_emb.weight", {c.positions, c.width}, init::Normal(kStackSpread));
      seen_ = p.State("seen", {1});
    }
    for (int i = 0; i < c.layers; ++i) blocks_.push_back(make_block(p / "blocks" / i, i));
    ln_f_.emplace(p / "ln_f", c.width);
    head_ = p.Matrix("head.weight", {c.vocab, c.width}, init::Normal(kStackSpread));
  }

  Tensor Hidden(const Batch& batch, const State& state) const override {
    batch.Validate(state.slots());
    Tensor x = ops::Embedding(emb_, batch.tokens);
    if (pos_emb_) {
      const auto positions = ops::Positions(batch, state[seen_], pos_emb_.dim(0));
      x = ops::Add(x, ops::Embedding(pos_emb_, positions));
    }
    x = ops::Dropout(x, kEmbeddingSite);
    for (const Block& block : blocks_)
      x = batch.recompute ? Again(block, x, batch, state) : block(x, batch, state);
    return (*ln_f_)(ops::Rows(x, batch.wanted));
  }

  const Tensor& head() const override { return head_; }

 private:
  /// block(x), keeping only x.
  static Tensor Again(const Block& block, const Tensor& x, const Batch& batch, const State& state) {
    return Recompute({x}, [&block, &batch, &state](const std::vector<Tensor>& in) {
      return std::vector<Tensor>{block(in[0], batch, state)};
    })[0];
  }

  Tensor emb_, pos_emb_;
  StateVar seen_;
  std::vector<Block> blocks_;
  std::optional<Norm> ln_f_;
  Tensor head_;
};

class Mlp {
 public:
  Mlp(const Params& p, Dim width, Dim ffn, Dim layers)
      : fc_(p.Matrix("fc.weight", {ffn, width}, init::Normal(kStackSpread))),
        proj_(p.Matrix("proj.weight", {width, ffn}, OfBranch(layers))) {}
  Tensor operator()(const Tensor& x) const {
    return ops::Linear(ops::Linear(x, fc_, {}, ops::Act::kRelu2), proj_);
  }

 private:
  Tensor fc_, proj_;
};

template <class Mixer>
struct PreNormBlock {
  Norm ln1, ln2;
  Mixer mixer;
  Mlp mlp;
  int layer;

  Tensor operator()(Tensor x, const Batch& batch, const State& state) const {
    x = AddBranch(x, mixer(ln1(x), batch, state), layer, Branch::kTimeMix);
    return AddBranch(x, mlp(ln2(x)), layer, Branch::kChannelMix);
  }
};

/// Of pre-norm blocks whose mixers are Mixer(params / "blocks" / layer / name, layer).
template <class Mixer>
std::unique_ptr<Model> MakePreNormStack(const Params& params, const Sizes& sizes, const std::string& name,
                                        bool input_positions,
                                        const std::function<Mixer(const Params&, int)>& make_mixer) {
  const StackSizes c(sizes, input_positions);
  using Block = PreNormBlock<Mixer>;
  return std::make_unique<Stack<Block>>(params, c, [&](const Params& p, int layer) {
    return Block{Norm(p / "ln1", c.width), Norm(p / "ln2", c.width), make_mixer(p / name, layer),
                 Mlp(p / "mlp", c.width, sizes.at("ffn"), c.layers), layer};
  });
}

/// The architecture of such stacks with input positions, whose mixers Mixer(params, sizes) have their tensors
/// below blocks.N.Mixer::kName: among them query.bias [H, D], which tells how the channels are cut into
/// heads.
template <class Mixer>
Architecture OfHeads(const std::string& name, const std::string& title,
                     double (*recurrence_flops)(const Sizes&)) {
  return {.name = name,
          .title = title,
          .matches = [](const Checkpoint& checkpoint) { return IsStackOf(checkpoint, Mixer::kName); },
          .read_sizes =
              [](const Checkpoint& checkpoint) {
                Sizes sizes = ReadStackSizes(checkpoint);
                const std::string bias = fmt::format("blocks.0.{}.query.bias", Mixer::kName);
                AddHeads(checkpoint, bias, Extent(checkpoint, bias, 0), sizes);
                return sizes;
              },
          .complete_sizes =
              [](Sizes sizes) {
                sizes = CompleteStackSizes(std::move(sizes));
                CompleteHeadSize(sizes);
                sizes.try_emplace("context", kStackContext);
                return sizes;
              },
          .make =
              [](const Params& params, const Sizes& sizes) {
                return MakePreNormStack<Mixer>(params, sizes, Mixer::kName, /*input_positions=*/true,
                                               [&](const Params& p, int) { return Mixer(p, sizes); });
              },
          .recurrence_flops = recurrence_flops};
}

}  // namespace linnet::models
