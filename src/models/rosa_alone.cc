// ROSA alone: the first demos of RWKV-8, which count upwards in digits. No recurrence, no attention, no
// norms. Formulas: RWKV-LM, RWKV-v8, 251016_rosa_1bit_run.py and 251018_rosa_4bit_run.py.
//
//     x = emb[token] + rosa_emb[the token that followed the longest match of the last ones before]
//     x <- x + ROSA_1(x)      x <- x + lin_1 x + b_1      x <- x + ROSA_2(x)      ...      x <- x + ROSA_L(x)
//
// Here q, k and v are all [x > 0], and a bit says emb0 or emb1 of its channel. Without a match a token says
// nothing; of x, neither with symbols of one bit (251016), and of four (251018) what follows counts as 0.
// Files do not say how many bits a symbol has.
#include "models/rosa_past.h"
#include "models/rwkv8.h"
#include "models/sizes.h"
#include "nn/layers.h"

namespace linnet::models {
namespace {

constexpr Dim kMostVocab = 1024;

int BitsOf(Dim vocab) {
  int bits = 1;
  while ((Dim{1} << bits) < vocab) ++bits;
  return bits;
}

/// The embedding of what followed the last tokens when they last occurred.
class TokenRosa {
 public:
  TokenRosa(const Params& p, const Sizes& c)
      : bits_(BitsOf(c.at("vocab"))),
        past_(p, bits_, bits_, c.at("context")),
        table_(p.Matrix("weight", {c.at("vocab"), c.at("width")}, init::Uniform(1e-4f))),
        zero_(Constants(-1)),
        one_(Constants(1)) {}

  /// x + the embedding.
  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    const Tensor code = Tensor::Empty({x.dim(0), bits_});
    for (Dim i = 0; i < code.size(); ++i) {
      code.data()[i] = batch.tokens[i / bits_] >> (i % bits_) & 1 ? 1.0f : -1.0f;
    }
    const Tensor said = past_({code, code, code, zero_, one_}, /*unmatched_is_zero=*/false, batch, state);
    std::vector<int> ids(x.dim(0));
    const Tensor found = Tensor::Zeros(x.shape());
    for (Dim i = 0; i < said.size(); ++i) ids[i / bits_] |= (said.data()[i] > 0) << (i % bits_);
    const Tensor rows = ops::Embedding(table_, ids);
    for (Dim row = 0; row < x.dim(0); ++row) {
      if (said.data()[row * bits_] == 0) continue;
      std::copy_n(rows.data() + row * x.dim(1), x.dim(1), found.data() + row * x.dim(1));
    }
    return ops::Add(x, found);
  }

 private:
  Tensor Constants(float value) const {
    const Tensor x = Tensor::Empty({bits_});
    std::fill_n(x.data(), bits_, value);
    return x;
  }

  int bits_;
  RosaPast past_;
  Tensor table_, zero_, one_;
};

/// x + ROSA(x), and but for the last x + lin x behind it.
struct Block {
  RosaPast past;
  Tensor emb0, emb1, lin, lin_bias;
  bool unmatched_is_zero;

  Block(const Params& p, const Sizes& c, bool last)
      : past(p / "rosa", c.at("width"), static_cast<int>(c.at("bits")), c.at("context")),
        emb0((p / "rosa").Vector("emb0", {1, 1, c.at("width")}, init::Constant(-1e-5f))),
        emb1((p / "rosa").Vector("emb1", {1, 1, c.at("width")}, init::Constant(1e-5f))),
        unmatched_is_zero(c.at("bits") > 1) {
    if (last) return;
    lin = (p / "lin").Matrix("weight", {c.at("width"), c.at("width")}, init::Orthogonal(1));
    lin_bias = (p / "lin").Vector("bias", {c.at("width")}, init::Zero());
  }

  Tensor operator()(Tensor x, const Batch& batch, const State& state) const {
    x = ops::Add(x, past({x, x, x, emb0, emb1}, unmatched_is_zero, batch, state));
    return lin ? ops::Add(x, ops::Linear(x, lin, lin_bias)) : x;
  }
};

class RosaAlone : public Model {
 public:
  RosaAlone(const Params& p, const Sizes& c)
      : emb_(p.Matrix("emb.weight", {c.at("vocab"), c.at("width")}, init::Uniform(1e-4f))),
        token_rosa_(p / "rosa_emb", c) {
    for (int i = 0; i < c.at("layers"); ++i) {
      blocks_.emplace_back(p / "blocks" / i, c, /*last=*/i + 1 == c.at("layers"));
    }
    head_ = p.Matrix("head.weight", {c.at("vocab"), c.at("width")}, init::Orthogonal(0.5f));
    head_bias_ = p.Vector("head.bias", {c.at("vocab")}, init::Zero());
  }

  Tensor Hidden(const Batch& batch, const State& state) const override {
    batch.Validate(state.slots());
    Tensor x = token_rosa_(ops::Embedding(emb_, batch.tokens), batch, state);
    for (const Block& block : blocks_) x = block(x, batch, state);
    return ops::Rows(x, batch.wanted);
  }

  const Tensor& head() const override { return head_; }
  Tensor head_bias() const override { return head_bias_; }

 private:
  Tensor emb_;
  TokenRosa token_rosa_;
  std::vector<Block> blocks_;
  Tensor head_, head_bias_;
};

Sizes ReadSizes(const Checkpoint& checkpoint) {
  Sizes sizes{{"vocab", Extent(checkpoint, "emb.weight", 0)},
              {"width", Extent(checkpoint, "emb.weight", 1)},
              {"bits", 1},
              {"context", kRosaContext}};
  while (checkpoint.Find(fmt::format("blocks.{}.rosa.emb0", sizes["layers"]))) ++sizes["layers"];
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  CheckTrunkSizes(sizes);
  for (const char* name : {"head_size", "ffn"}) CheckHasNo(sizes, name, "ROSA alone");
  sizes.try_emplace("bits", 1);
  sizes.try_emplace("context", kRosaContext);
  return sizes;
}

std::unique_ptr<Model> Make(const Params& p, const Sizes& sizes) {
  CheckBits(sizes);
  Check(sizes.at("vocab") <= kMostVocab, "[rosa] models of ROSA alone have up to {} tokens, this one {}",
        kMostVocab, sizes.at("vocab"));
  return std::make_unique<RosaAlone>(p, sizes);
}

}  // namespace

Architecture RosaOnly() {
  return {.name = "rosa",
          .title = "ROSA alone (RWKV-8's first demos)",
          .matches =
              [](const Checkpoint& c) { return c.Find("rosa_emb.weight") && c.Find("blocks.0.rosa.emb0"); },
          .read_sizes = ReadSizes,
          .complete_sizes = CompleteSizes,
          .make = Make,
          .ignored = {},
          .recurrence_flops = [](const Sizes&) { return 0.0; },
          .untrainable = "it is here to run the demos that were published"};
}

}  // namespace linnet::models
