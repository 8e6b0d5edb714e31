// Recurrent networks as they were before: tanh RNN, GRU and LSTM, in the conventions of char-rnn (Karpathy,
// 2015; tables in Karpathy, Johnson, Fei-Fei, arXiv:1506.02078). A layer reads x, what the layer below says,
// and its own last output h. With a_g = W_g x_t + b_g + U_g h for each gate g:
//
//     RNN   h_t = tanh(a_h)
//     GRU   z, r = sigmoid(a_z), sigmoid(a_r)    n = tanh(W_n x_t + b_n + U_n (r h))    h_t = z n + (1 - z) h
//     LSTM  i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)    g = tanh(a_g)    c_t = f c + i g    h_t = o
//     tanh c_t
//
// (z lets the new in, and r acts before U_n: cuDNN has both the other way round.) There is no parallel form:
// h_t depends on h_{t-1} through U and a nonlinearity. What is done for all rows at once are the products W
// x; then comes one step after the other, for all sequences of a batch together. So training is exact, and
// slow.
//
// char-rnn has two biases a gate, of which only the sum matters; here is one. Its input is one-hot, which
// makes W x a look-up; here a table emb comes before, as in recurrentjs, whose files load as they are. The
// decoder has a bias. Initial values: U(-0.08, 0.08), the forget gate's bias 1.
#include "models/lineage.h"
#include "models/residual.h"
#include "models/sizes.h"

namespace linnet::models {
namespace {

constexpr float kSpread = 0.08f;

struct Cell {
  CellKind kind;
  const char* name;
  std::vector<const char*> gates;
  Dim variables;  // of the state: h, and c
};

const Cell& CellOf(CellKind kind) {
  static const Cell kCells[] = {{CellKind::kTanh, "rnn", {"h"}, 1},
                                {CellKind::kGru, "gru", {"z", "r", "n"}, 1},
                                {CellKind::kLstm, "lstm", {"i", "f", "o", "g"}, 2}};
  return kCells[static_cast<int>(kind)];
}

class Layer {
 public:
  Layer(const Params& p, const Cell& cell, Dim input, Dim width)
      : kind_(cell.kind), state_(p.State("state", {cell.variables, width})) {
    for (const std::string gate : cell.gates) {
      const Params g = p / gate;
      w_.push_back(g.Matrix("x.weight", {width, input}, init::Uniform(kSpread)));
      u_.push_back(g.Matrix("h.weight", {width, width}, init::Uniform(kSpread)));
      b_.push_back(g.Vector("bias", {width}, gate == "f" ? init::Constant(1) : init::Uniform(kSpread)));
    }
  }

  Tensor operator()(const Tensor& x, const Batch& batch, const State& state) const {
    std::vector<ops::Product> products;
    for (size_t g = 0; g < w_.size(); ++g) products.push_back({x, w_[g], b_[g]});
    return ops::RecurrentCell(kind_, {ops::Linears(products), u_}, batch, state[state_]);
  }

 private:
  CellKind kind_;
  StateVar state_;
  std::vector<Tensor> w_, u_, b_;
};

class RecurrentNetwork : public Model {
 public:
  RecurrentNetwork(const Params& p, const Cell& cell, const Sizes& c)
      : emb_(p.Matrix("emb.weight", {c.at("vocab"), c.at("input")}, init::Uniform(kSpread))),
        head_(p.Matrix("head.weight", {c.at("vocab"), c.at("width")}, init::Uniform(kSpread))),
        head_bias_(p.Vector("head.bias", {c.at("vocab")}, init::Uniform(kSpread))) {
    for (int i = 0; i < c.at("layers"); ++i) {
      layers_.emplace_back(p / "blocks" / i / cell.name, cell, c.at(i == 0 ? "input" : "width"),
                           c.at("width"));
    }
  }

  Tensor Hidden(const Batch& batch, const State& state) const override {
    batch.Validate(state.slots());
    Tensor x = ops::Embedding(emb_, batch.tokens);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const auto layer = [&batch, &state, &layer = layers_[i]](const std::vector<Tensor>& in) {
        return std::vector<Tensor>{layer(in[0], batch, state)};
      };
      x = ops::Dropout((batch.recompute ? Recompute({x}, layer) : layer({x}))[0], 1 + static_cast<int>(i));
      Breaks::Offer();
    }
    return ops::Rows(x, batch.wanted);
  }

  const Tensor& head() const override { return head_; }
  Tensor head_bias() const override { return head_bias_; }

 private:
  Tensor emb_, head_, head_bias_;
  std::vector<Layer> layers_;
};

std::string FirstMatrix(const Cell& cell, Dim layer) {
  return fmt::format("blocks.{}.{}.{}.x.weight", layer, cell.name, cell.gates[0]);
}

template <CellKind kKind>
Sizes ReadSizes(const Checkpoint& checkpoint) {
  const Cell& cell = CellOf(kKind);
  Sizes sizes{{"vocab", Extent(checkpoint, "emb.weight", 0)},
              {"input", Extent(checkpoint, "emb.weight", 1)},
              {"width", Extent(checkpoint, FirstMatrix(cell, 0), 0)}};
  while (checkpoint.Find(FirstMatrix(cell, sizes["layers"]))) ++sizes["layers"];
  return sizes;
}

template <CellKind kKind>
Sizes CompleteSizes(Sizes sizes) {
  CheckTrunkSizes(sizes);
  for (const char* size : {"head_size", "ffn"}) CheckHasNo(sizes, size, CellOf(kKind).name);
  sizes.try_emplace("input", sizes["width"]);
  return sizes;
}

template <CellKind kKind>
Architecture OfCell(const std::string& title) {
  return {
      .name = CellOf(kKind).name,
      .title = title,
      .matches = [](const Checkpoint& file) { return file.Find(FirstMatrix(CellOf(kKind), 0)) != nullptr; },
      .read_sizes = ReadSizes<kKind>,
      .complete_sizes = CompleteSizes<kKind>,
      .make = [](const Params& params, const Sizes& sizes) -> std::unique_ptr<Model> {
        return std::make_unique<RecurrentNetwork>(params, CellOf(kKind), sizes);
      },
      .ignored = {},
      // A gate: its two parts are added, and it meets the state.
      .recurrence_flops =
          [](const Sizes& sizes) {
            return 3.0 * CellOf(kKind).gates.size() * sizes.at("layers") * sizes.at("width");
          }};
}

}  // namespace

Architecture Rnn() { return OfCell<CellKind::kTanh>("tanh RNN"); }
Architecture Gru() { return OfCell<CellKind::kGru>("GRU"); }
Architecture Lstm() { return OfCell<CellKind::kLstm>("LSTM"); }

}  // namespace linnet::models
