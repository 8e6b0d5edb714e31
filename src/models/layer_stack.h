// A Stack of layers as the papers on recurrences without attention have them: x + Layer(LN(x)), one after the
// other. With an "ffn", which these papers do not have, each is followed by an MLP.
#pragma once

#include "models/sizes.h"
#include "models/stack.h"

namespace linnet::models {

template <class Layer>
struct LayerBlock {
  Norm ln1;
  Layer layer;
  std::optional<Norm> ln2;
  std::optional<Mlp> mlp;
  int index;

  Tensor operator()(Tensor x, const Batch& batch, const State& state) const {
    x = AddBranch(x, layer(ln1(x), batch, state), index, Branch::kTimeMix);
    return mlp ? AddBranch(x, (*mlp)((*ln2)(x)), index, Branch::kChannelMix) : x;
  }
};

/// The layers are Layer(params / "blocks" / index / Layer::kName, sizes).
template <class Layer>
std::unique_ptr<Model> MakeLayerStack(const Params& params, const Sizes& sizes) {
  const StackSizes c(sizes);
  const Dim ffn = sizes.at("ffn");
  using Block = LayerBlock<Layer>;
  return std::make_unique<Stack<Block>>(params, c, [&](const Params& p, int index) {
    Block block{Norm(p / "ln1", c.width), Layer(p / Layer::kName, sizes), {}, {}, index};
    if (ffn > 0) {
      block.ln2.emplace(p / "ln2", c.width);
      block.mlp.emplace(p / "mlp", c.width, ffn, c.layers);
    }
    return block;
  });
}

/// The architecture of such stacks.
template <class Layer>
Architecture OfLayers(const std::string& name, const std::string& title,
                      Sizes (*read_sizes)(const Checkpoint&), Sizes (*complete_sizes)(Sizes),
                      double (*recurrence_flops)(const Sizes&)) {
  return {.name = name,
          .title = title,
          .matches = [](const Checkpoint& checkpoint) { return IsStackOf(checkpoint, Layer::kName); },
          .read_sizes = read_sizes,
          .complete_sizes = complete_sizes,
          .make = MakeLayerStack<Layer>,
          .recurrence_flops = recurrence_flops};
}

/// Of such a stack, read off a checkpoint; ffn is 0 where there is no MLP.
inline Sizes ReadLayerSizes(const Checkpoint& checkpoint) {
  Sizes sizes = ReadStackSizes(checkpoint);
  sizes.try_emplace("ffn", 0);
  return sizes;
}

/// Fills in an ffn of 0. Throws Error as CheckTrunkSizes, and if there is a head size.
inline Sizes CompleteLayerSizes(Sizes sizes, const std::string& architecture) {
  CheckTrunkSizes(sizes);
  CheckHasNo(sizes, "head_size", architecture);
  sizes.try_emplace("ffn", 0);
  return sizes;
}

/// Puts in a size that was not chosen. Throws Error, naming it, unless it lies in [least, most].
inline void CompleteSize(Sizes& sizes, const std::string& name, Dim otherwise, Dim least, Dim most) {
  sizes.try_emplace(name, otherwise);
  const Dim value = sizes[name];
  Check(value >= least && value <= most, "the size {} must lie between {} and {} but is {}; change --sizes",
        name, least, most, value);
}

/// A size that decides about initial values alone and that files do not have.
inline Dim Chosen(const Sizes& sizes, const std::string& name, Dim otherwise) {
  const auto found = sizes.find(name);
  return found == sizes.end() ? otherwise : found->second;
}

/// A size of that many numbers in conjugate pairs. Throws Error if it is odd.
inline void CompletePairs(Sizes& sizes, const std::string& name, Dim otherwise, Dim most) {
  CompleteSize(sizes, name, otherwise, 2, most);
  Check(sizes[name] % 2 == 0, "the size {} must be even but is {}; half of it are complex modes", name,
        sizes[name]);
}

/// N(0, 1 / inputs) for a matrix [out, inputs].
inline Init OfInputs(Dim inputs, float gain = 1) {
  return init::Normal(gain / std::sqrt(static_cast<float>(inputs)));
}

/// The logarithms of a state space's steps, uniform between those of 1/1000 and 1/10.
inline Init LogSteps() {
  return [](const Tensor& t, Random& random) {
    for (Dim i = 0; i < t.size(); ++i) {
      t.data()[i] = static_cast<float>(std::log(1e-3) + random.Uniform() * std::log(100.0));
    }
  };
}

/// Biases of gates that keep: log u with u uniform in [1, steps - 1], so that memories last from one to
/// `steps` steps (Tallec and Ollivier, arXiv:1804.11188); `otherwise` for 0 steps.
inline Init KeepBias(Dim steps, float otherwise) {
  if (steps < 3) return init::Constant(otherwise);
  return [steps](const Tensor& t, Random& random) {
    for (Dim i = 0; i < t.size(); ++i) {
      t.data()[i] = static_cast<float>(std::log(1 + random.Uniform() * static_cast<double>(steps - 2)));
    }
  };
}

}  // namespace linnet::models
