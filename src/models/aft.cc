// The Attention Free Transformer: Zhai et al., arXiv:2105.14103; what RWKV grew out of. Per channel, without
// queries that meet keys:
//
//     y_t = sigmoid(q_t) * sum_{j <= t} e^{k_j + w_tj} v_j / sum_{j <= t} e^{k_j + w_tj}
//
// The biases w_tj are learned for pairs of positions, as products <u_t, v_j> of two tables of d' columns:
//
//     full    for all pairs                  state: k and v of all tokens seen, as a Transformer
//     local   where t - j < window; others are 0, not -infinity: far tokens still count
//     simple  all 0                          state: numerator, denominator and their exponent
//
// Simple is WKV-4 without decay (w = -infinity) and without bonus (u = 0): the same op, an RNN trained in
// parallel, exact. Full and local are products of matrices with e^w over the rows seen: exact too, but for
// keys that lie more than 80 below the largest of their channel, which are taken for 80 below.
#include <charconv>

#include "models/initial.h"
#include "models/lineage.h"
#include "models/sizes.h"
#include "models/stack.h"

namespace linnet::models {
namespace {

constexpr const char* kName = "aft";
constexpr const char* kFull = "blocks.0.aft.all.u.weight";
constexpr std::string_view kLocal = "blocks.0.aft.near";  // and the window, as no shape shows it
constexpr Dim kWindow = 32, kRank = 64;
constexpr float kTableSpread = 0.01f;  // decisive, says the paper

/// What all variants have around their average.
struct Projections {
  Tensor query, key, value, proj;
  Projections(const Params& p, const Sizes& c) {
    const Dim width = c.at("width");
    for (auto [name, matrix] :
         {std::pair{"query.weight", &query}, {"key.weight", &key}, {"value.weight", &value}}) {
      *matrix = p.Matrix(name, {width, width}, init::Normal(kStackSpread));
    }
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
  Check(sizes["window"] > 0, "a window of {} tokens has nothing to learn; take --arch aft-simple",
        sizes["window"]);
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

double NoRecurrence(const Sizes&) { return 0; }  // it grows with the text and is not counted

}  // namespace

Architecture AftWithoutBias() {
  return {
      .name = "aft-simple",
      .title = "AFT-simple",
      .matches =
          [](const Checkpoint& file) {
            return IsStackOf(file, kName) && !file.Find(kFull) && WindowOf(file) == 0;
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

}  // namespace linnet::models
