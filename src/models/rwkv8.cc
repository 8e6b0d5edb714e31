// RWKV-8 "Heron", the preview: ROSA, the rapid online suffix automaton, beside or instead of RWKV-7's time
// mix. Formulas: RWKV-LM, RWKV-v8, 251105_reverse_run.py, 260212_rosa1bitLM_L12.py and
// 260222_rosa4bitLM_L12.py.
//
// With h = LN(x), each of q k v reads its own mix h + (h' - h) x_n with the token before, and counts as bits:
//
//     q, k, v = [W_n h_n + b_n > 0]
//     y_t = emb * (2 v_{j+1} - 1)          out = W_o y + b_o
//
// where j < t is the latest place at which the longest match of ... q_{t-1} q_t in ... k_{j-1} k_j ends,
// in each channel (bits = 1: without a match, as if v were 0) or in each group of four channels, whose bits
// are one symbol (bits = 4: without a match, y = 0). There is no softmax and no decay: a look-up that finds
// the only place that fits, however far back. A block is
//
//     x <- x + TimeMix(LN_1 x) + ROSA(LN_3 x)          x <- x + ChannelMix(LN_2 x)
//
// with RWKV-7's mixes. time_mix = 1 is that of the demos that reverse digits, which have no norm of the
// embedding, and a bias of the head; time_mix = 0 that of the language models, the other way round in all
// three.
//
// The state keeps v and the automaton of all k seen, in memory made for "context" tokens. Files do not say
// how many bits a symbol has. How ROSA's bits are trained is not published for this form, so it only runs.
#include "models/rwkv8.h"

#include "models/rosa_past.h"
#include "models/rwkv7_blocks.h"
#include "models/sizes.h"

namespace linnet::models {
namespace {

/// The bits of q, k or v before they are bits.
struct Projection {
  Tensor mix, weight, bias;
  Projection(const Params& p, const std::string& n, Dim width)
      : mix(p.Vector("x_" + n, {1, 1, width}, init::Zero())),
        weight(p.Matrix(n + ".weight", {width, width}, init::Orthogonal(1))),
        bias(p.Vector(n + ".bias", {width}, init::Zero())) {}
};

class Rosa {
 public:
  Rosa(const Params& p, Dim width, int bits, Dim context)
      : bits_(bits),
        shift_(p.State("shift", {width})),
        past_(p, width, bits, context),
        q_(p, "q", width),
        k_(p, "k", width),
        v_(p, "v", width),
        one_(p.Vector("rosa_qkv.emb", {1, 1, width}, init::Constant(1))),
        zero_(Tensor::Zeros(one_.shape())),
        o_(p.Matrix("o.weight", {width, width}, init::Zero())),
        o_bias_(p.Vector("o.bias", {width}, init::Zero())) {
    for (Dim c = 0; c < width; ++c) zero_.data()[c] = -one_.data()[c];
  }

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const auto in = ops::ShiftMix(h, {q_.mix, k_.mix, v_.mix}, batch, state[shift_]);
    const auto qkv =
        ops::Linears({{in[0], q_.weight, q_.bias}, {in[1], k_.weight, k_.bias}, {in[2], v_.weight, v_.bias}});
    const Tensor y =
        past_({qkv[0], qkv[1], qkv[2], zero_, one_}, /*unmatched_is_zero=*/bits_ == 1, batch, state);
    return ops::Linear(y, o_, o_bias_);
  }

 private:
  int bits_;
  StateVar shift_;
  RosaPast past_;
  Projection q_, k_, v_;
  Tensor one_, zero_, o_, o_bias_;
};

struct Block {
  std::optional<Norm> ln1;
  Norm ln2, ln3;
  std::optional<Rwkv7TimeMix> att;
  Rosa rosa;
  Rwkv7ChannelMix ffn;

  Block(const Params& p, const Sizes& sizes, int layer)
      : ln2(p / "ln2", sizes.at("width")),
        ln3(p / "ln3", sizes.at("width")),
        rosa(p / "rosa", sizes.at("width"), static_cast<int>(sizes.at("bits")), sizes.at("context")),
        ffn(p / "ffn", TrunkSizes(sizes), layer) {
    if (sizes.at("time_mix") == 0) return;
    ln1.emplace(p / "ln1", sizes.at("width"));
    att.emplace(p / "att", Rwkv7Sizes(sizes), layer);
  }

  Tensor operator()(const Tensor& x, Tensor& v_first, const Batch& batch, const State& state) const {
    Tensor y = ops::Add(x, rosa(ln3(x), batch, state));
    if (att) y = ops::Add(y, (*att)((*ln1)(x), v_first, batch, state));
    return ops::Add(y, ffn(ln2(y), batch, state));
  }
};

class Heron : public Model {
 public:
  Heron(const Params& p, const Sizes& sizes) {
    const TrunkSizes c(sizes);
    const bool is_demo = sizes.at("time_mix") != 0;
    emb_ = p.Matrix("emb.weight", {c.vocab, c.width}, init::Uniform(1e-4f));
    if (!is_demo) ln0_.emplace(p / "blocks" / 0 / "ln0", c.width);
    for (int i = 0; i < c.layers; ++i) blocks_.emplace_back(p / "blocks" / i, sizes, i);
    ln_out_.emplace(p / "ln_out", c.width);
    head_ = p.Matrix("head.weight", {c.vocab, c.width}, init::Orthogonal(0.5f * TallGain(c.vocab, c.width)));
    if (is_demo) head_bias_ = p.Vector("head.bias", {c.vocab}, init::Zero());
  }

  Tensor Hidden(const Batch& batch, const State& state) const override {
    batch.Validate(state.slots());
    Tensor x = ops::Embedding(emb_, batch.tokens), v_first;
    if (ln0_) x = (*ln0_)(x);
    for (const Block& block : blocks_) x = block(x, v_first, batch, state);
    return (*ln_out_)(ops::Rows(x, batch.wanted));
  }

  const Tensor& head() const override { return head_; }
  Tensor head_bias() const override { return head_bias_; }

 private:
  Tensor emb_, head_, head_bias_;
  std::optional<Norm> ln0_, ln_out_;
  std::vector<Block> blocks_;
};

Sizes ReadSizes(const Checkpoint& checkpoint) {
  const bool time_mix = checkpoint.Find("blocks.0.att.r_k");
  Sizes sizes = time_mix ? ReadRwkv7Sizes(checkpoint) : ReadTrunkSizes(checkpoint);
  sizes["time_mix"] = time_mix;
  sizes["bits"] = 1;
  sizes["context"] = kRosaContext;
  return sizes;
}

Sizes CompleteSizes(Sizes sizes) {
  sizes.try_emplace("time_mix", 1);
  if (sizes["time_mix"] != 0) {
    sizes = CompleteRwkv7Sizes(std::move(sizes));
  } else {
    CheckTrunkSizes(sizes);
    CheckHasNo(sizes, "head_size", "an RWKV-8 without a time mix");
    sizes.try_emplace("ffn", 4 * sizes["width"]);
  }
  sizes.try_emplace("bits", 1);
  sizes.try_emplace("context", kRosaContext);
  return sizes;
}

}  // namespace

void CheckBits(const Sizes& sizes) {
  const Dim bits = sizes.at("bits"), width = sizes.at("width");
  Check((bits == 1 || bits == 4) && width % bits == 0,
        "[rosa] symbols have 1 or 4 bits, of which the width is a multiple, but there are {} and {}", bits,
        width);
}

Architecture Rwkv8() {
  return {
      .name = "rwkv8",
      .title = "RWKV-8 \"Heron\" (ROSA, preview)",
      .matches = [](const Checkpoint& c) { return c.Find("emb.weight") && c.Find("blocks.0.rosa.q.weight"); },
      .read_sizes = ReadSizes,
      .complete_sizes = CompleteSizes,
      .make = [](const Params& p, const Sizes& sizes) -> std::unique_ptr<Model> {
        CheckBits(sizes);
        return std::make_unique<Heron>(p, sizes);
      },
      .ignored = {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"},
      // Bits are looked up, not computed with.
      .recurrence_flops = [](const Sizes& s) { return s.at("time_mix") ? Rwkv7RecurrenceFlops(s) : 0.0; },
      .untrainable = "how the bits of ROSA are trained is not published"};
}

}  // namespace linnet::models
