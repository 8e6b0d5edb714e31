// The Attention Free Transformer: Zhai et al., arXiv:2105.14103; what RWKV grew out of. Per channel, without
// queries that meet keys:
//
//     y_t = sigmoid(q_t) * sum_{j <= t} e^{k_j + w_tj} v_j / sum_{j <= t} e^{k_j + w_tj}
//
// The biases w_tj are learned for pairs of positions, as products <u_t, v_j> of two tables of d' columns, or
// for distances:
//
//     full    for all pairs                  state: k and v of all tokens seen, as a Transformer
//     local   where t - j < window; others are 0, not -infinity: far tokens still count
//     simple  all 0                          state: numerator, denominator and their exponent
//     conv    w_{t-j} where t - j < window, others 0; a key and a w for a whole head
//                                            state: k and v of a window, and of all that is older one more
//
// Conv's w is gamma (w - mean) / deviation + beta, with one gamma and beta a head that begin at 0. The paper
// has it for images; this is its causal form in one dimension. As distances alone count in it, there is no
// table of positions, and a text may be of any length. It is exact for keys of any size.
//
// Simple is WKV-4 without decay (w = -infinity) and without bonus (u = 0): the same op, an RNN trained in
// parallel, exact. Full and local are products of matrices with e^w over the rows seen: exact too, but for
// keys that lie more than 80 below the largest of their channel, which are taken for 80 below.
#include <charconv>

#include "models/initial.h"
#include "models/lineage.h"
#include "models/sizes.h"
#include "models/stack.h"
#include "nn/derived.h"

namespace linnet::models {
namespace {

constexpr const char* kName = "aft";
constexpr const char* kFull = "blocks.0.aft.all.u.weight";
constexpr const char* kConv = "blocks.0.aft.conv.w";
constexpr std::string_view kLocal = "blocks.0.aft.near";  // and the window, as no shape shows it
constexpr Dim kWindow = 32, kRank = 64;
constexpr float kTableSpread = 0.01f;  // decisive, says the paper

/// What all variants have around their average.
struct Projections {
  Tensor query, key, value, proj;
  Projections(const Params& p, const Sizes& c) : Projections(p, c, c.at("width")) {}
  Projections(const Params& p, const Sizes& c, Dim keys) {
    const Dim width = c.at("width");
    query = p.Matrix("query.weight", {width, width}, init::Normal(kStackSpread));
    key = p.Matrix("key.weight", {keys, width}, init::Normal(kStackSpread));
    value = p.Matrix("value.weight", {width, width}, init::Normal(kStackSpread));
    proj = p.Matrix("proj.weight", {width, width}, OfBranch(c.at("layers")));
  }
  std::vector<Tensor> Qkv(const Tensor& h) const { return ops::Linears({{h, query}, {h, key}, {h, value}}); }
  Tensor Out(const Tensor& average, const Tensor& q) const {
    return ops::Linear(ops::Gate(average, q, GateKind::kSigmoid), proj);
  }
};

class AftSimple {
 public:
  AftSimple(const Params& p, const Sizes& c)
      : sums_(p.State("sums", {3, c.at("width")}, NothingSeen(c.at("width")))),
        no_decay_(Tensor::Empty({c.at("width")})),
        no_bonus_(Tensor::Zeros({c.at("width")})),
        project_(p, c) {
    std::fill_n(no_decay_.data(), no_decay_.size(), -INFINITY);
  }

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const auto qkv = project_.Qkv(h);
    return project_.Out(ops::Wkv4({qkv[1], qkv[2], no_decay_, no_bonus_}, batch, state[sums_]), qkv[0]);
  }

 private:
  StateVar sums_;
  Tensor no_decay_, no_bonus_;
  Projections project_;
};

/// Full or local: with a table of biases.
class AftBiased {
 public:
  AftBiased(const Params& p, const Sizes& c, Dim window, const std::string& reach)
      : window_(window),
        keys_(p.State("keys", {c.at("context"), c.at("width")})),
        values_(p.State("values", {c.at("context"), c.at("width")})),
        length_(p.State("length", {1})),
        place_(p.State("place", {1})),
        project_(p, c),
        u_(p.Matrix(reach + ".u.weight", {c.at("context"), c.at("bias_rank")}, init::Normal(kTableSpread))),
        v_(p.Matrix(reach + ".v.weight", {c.at("context"), c.at("bias_rank")}, init::Normal(kTableSpread))) {}

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const auto qkv = project_.Qkv(h);
    const auto positions = ops::Positions(batch, state[place_], u_.dim(0));
    const Tensor w = ops::Linear(ops::Embedding(u_, positions), v_);
    return project_.Out(
        ops::AftAverage({qkv[1], qkv[2], w}, batch, {state[keys_], state[values_], state[length_]}, window_),
        qkv[0]);
  }

 private:
  Dim window_;
  StateVar keys_, values_, length_, place_;
  Projections project_;
  Tensor u_, v_;
};

class AftConv {
 public:
  AftConv(const Params& p, const Sizes& c)
      : window_(c.at("window")),
        heads_(c.at("width") / c.at("head_size")),
        keys_(p.State("keys", {window_ + 1, heads_}, NoKeys())),
        values_(p.State("values", {window_ + 1, c.at("width")})),
        project_(p, c, heads_),
        w_(p.Vector("conv.w", {heads_, window_}, init::Normal(1))),
        gamma_(p.Vector("conv.gamma", {heads_, 1}, init::Zero())),
        beta_(p.Vector("conv.beta", {heads_, 1}, init::Zero())),
        one_(Tensor::Empty({window_})),
        zero_(Tensor::Zeros({window_})),
        ones_(Tensor::Empty({heads_, window_})) {
    for (const Tensor& t : {one_, ones_}) std::fill_n(t.data(), t.size(), 1.0f);
  }

  Tensor operator()(const Tensor& h, const Batch& batch, const State& state) const {
    const auto qkv = project_.Qkv(h);
    const Tensor w = scaled_({w_, gamma_, beta_}, [&] {
      const Tensor normed = ops::LayerNorm(w_, one_, zero_);
      // Of each head: (gamma, beta) times the matrix of the two rows w and 1.
      return ops::RowMatMul(ops::JoinColumns({gamma_, beta_}), ops::JoinColumns({normed, ones_}), window_);
    });
    return project_.Out(ops::AftConv({qkv[1], qkv[2], w}, batch, {state[keys_], state[values_]}), qkv[0]);
  }

 private:
  Tensor NoKeys() const {
    const Tensor keys = Tensor::Empty({window_ + 1, heads_});
    std::fill_n(keys.data(), keys.size(), ops::kAftConvNothing);
    return keys;
  }

  Dim window_, heads_;
  StateVar keys_, values_;
  Projections project_;
  Tensor w_, gamma_, beta_, one_, zero_, ones_;
  Derived<Tensor> scaled_;
};

/// The window in the names of a file, 0 if there is none.
Dim WindowOf(const Checkpoint& checkpoint) {
  Dim window = 0;
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    if (!entry.name.starts_with(kLocal)) continue;
    std::from_chars(entry.name.data() + kLocal.size(), entry.name.data() + entry.name.size(), window);
  }
  return window;
}

std::string Near(Dim window) { return fmt::format("near{}", window); }

void CheckWindow(const Sizes& sizes) {
  Check(sizes.at("window") > 0, "a window of {} tokens has nothing to learn; take --arch aft-simple",
        sizes.at("window"));
}

Sizes CompleteSimple(Sizes sizes) {
  sizes = CompleteStackSizes(std::move(sizes));
  CheckHasNo(sizes, "head_size", "AFT");
  sizes.try_emplace("context", kStackContext);
  return sizes;
}

Sizes CompleteFull(Sizes sizes) {
  sizes = CompleteSimple(std::move(sizes));
  sizes.try_emplace("bias_rank", kRank);
  return sizes;
}

Sizes CompleteLocal(Sizes sizes) {
  sizes = CompleteFull(std::move(sizes));
  sizes.try_emplace("window", kWindow);
  CheckWindow(sizes);
  return sizes;
}

Sizes CompleteConv(Sizes sizes) {
  sizes = CompleteStackSizes(std::move(sizes));
  CompleteHeadSize(sizes);
  sizes.try_emplace("window", kWindow);
  CheckWindow(sizes);
  return sizes;
}

Sizes ReadFull(const Checkpoint& checkpoint) {
  Sizes sizes = ReadStackSizes(checkpoint);
  sizes["bias_rank"] = Extent(checkpoint, kFull, 1);
  return sizes;
}

Sizes ReadLocal(const Checkpoint& checkpoint) {
  Sizes sizes = ReadStackSizes(checkpoint);
  sizes["window"] = WindowOf(checkpoint);
  sizes["bias_rank"] = Extent(checkpoint, "blocks.0.aft." + Near(sizes["window"]) + ".u.weight", 1);
  return sizes;
}

Sizes ReadConv(const Checkpoint& checkpoint) {
  Sizes sizes = ReadStackSizes(checkpoint);
  AddHeads(checkpoint, kConv, Extent(checkpoint, kConv, 0), sizes);
  sizes["window"] = Extent(checkpoint, kConv, 1);
  return sizes;
}

double ConvRecurrence(const Sizes& sizes) {
  // Per channel 2 for each row of the window, and 6 for what is older; what heads share does not count.
  return (2.0 * static_cast<double>(sizes.at("window")) + 6) *
         static_cast<double>(sizes.at("layers") * sizes.at("width"));
}

double NoRecurrence(const Sizes&) { return 0; }  // it grows with the text and is not counted

}  // namespace

Architecture AftWithoutBias() {
  return {
      .name = "aft-simple",
      .title = "AFT-simple",
      .matches =
          [](const Checkpoint& file) {
            return IsStackOf(file, kName) && !file.Find(kFull) && !file.Find(kConv) && WindowOf(file) == 0;
          },
      .read_sizes = ReadStackSizes,
      .complete_sizes = CompleteSimple,
      .make =
          [](const Params& params, const Sizes& sizes) {
            return MakePreNormStack<AftSimple>(params, sizes, kName, /*input_positions=*/true,
                                               [&](const Params& p, int) { return AftSimple(p, sizes); });
          },
      .ignored = {},
      // As WKV-4.
      .recurrence_flops = [](const Sizes& sizes) { return 13.0 * sizes.at("layers") * sizes.at("width"); }};
}

Architecture AftFull() {
  return {.name = "aft-full",
          .title = "AFT-full",
          .matches = [](const Checkpoint& file) { return file.Find(kFull) != nullptr; },
          .read_sizes = ReadFull,
          .complete_sizes = CompleteFull,
          .make =
              [](const Params& params, const Sizes& sizes) {
                return MakePreNormStack<AftBiased>(
                    params, sizes, kName, /*input_positions=*/true,
                    [&](const Params& p, int) { return AftBiased(p, sizes, sizes.at("context"), "all"); });
              },
          .ignored = {},
          .recurrence_flops = NoRecurrence};
}

Architecture AftLocal() {
  return {.name = "aft-local",
          .title = "AFT-local",
          .matches = [](const Checkpoint& file) { return WindowOf(file) > 0; },
          .read_sizes = ReadLocal,
          .complete_sizes = CompleteLocal,
          .make =
              [](const Params& params, const Sizes& sizes) {
                const Dim window = sizes.at("window");
                return MakePreNormStack<AftBiased>(
                    params, sizes, kName, /*input_positions=*/true,
                    [&, window](const Params& p, int) { return AftBiased(p, sizes, window, Near(window)); });
              },
          .ignored = {},
          .recurrence_flops = NoRecurrence};
}

Architecture AftConvolution() {
  return {.name = "aft-conv",
          .title = "AFT-conv",
          .matches = [](const Checkpoint& file) { return file.Find(kConv) != nullptr; },
          .read_sizes = ReadConv,
          .complete_sizes = CompleteConv,
          .make =
              [](const Params& params, const Sizes& sizes) {
                return MakePreNormStack<AftConv>(params, sizes, kName, /*input_positions=*/false,
                                                 [&](const Params& p, int) { return AftConv(p, sizes); });
              },
          .ignored = {},
          .recurrence_flops = ConvRecurrence};
}

}  // namespace linnet::models
