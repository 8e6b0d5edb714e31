// Products with weight matrices, and what adapters add to them.
#include "ops/adapter_dropout.h"
#include "ops/adapters.h"
#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

void CheckLinear(const Tensor& x, const Tensor& weight, const Tensor& bias, Dim in, Dim out) {
  Check(x.shape().rank() == 2 && weight.shape().rank() == 2 && x.dim(1) == in,
        "[linear] x {} does not fit the weight {}", x.shape(), weight.shape());
  Check(IsReal(weight.dtype()) && weight.dtype() != DType::kF64, "[linear] a weight cannot be {}",
        Traits(weight.dtype()).name);
  Check(!bias || bias.size() == out, "[linear] the bias has {} elements, the output {} columns",
        bias ? bias.size() : 0, out);
}

/// What an adapter adds to a product: low B^T, with low = scale drop(x) A^T [N, rank].
struct Addition {
  Adapter adapter;
  AdapterDropout drop;
  Tensor low;
};

std::vector<Addition> AdditionsTo(const Product& p) {
  std::vector<Addition> additions;
  const Adapters* adapters = Adapters::InForce();
  if (adapters == nullptr) return additions;
  for (const Adapter& adapter : adapters->Of(p.weight)) {
    Check(p.layout == WeightLayout::kOutIn, "[linear] only weights [out, in] can have adapters");
    const Dim rows = p.x.dim(0);
    additions.push_back({adapter, AdapterDropout(adapter.a, rows), Tensor::Empty({rows, adapter.a.dim(0)})});
  }
  return additions;
}

/// gradient += op(a) op(b)
void AccumulateProduct(Backend& backend, const GradientPtr& gradient, const Shape& shape, const Tensor& a,
                       bool transpose_a, const Tensor& b, bool transpose_b) {
  const bool add = static_cast<bool>(gradient->value);
  const Tensor sum = add ? Accumulator(gradient, shape) : Tensor::Empty(shape);
  backend.MatMul(a, transpose_a, b, transpose_b, sum, add);
  if (!add) Accumulate(gradient, sum);
}

/// From dz, the gradient of the sum of a product and its additions.
void AdditionBackward(Backend& backend, const Addition& addition, const Tensor& x, const Tensor& dz,
                      const GradientPtr& gx) {
  const auto& [a, b, scale] = addition.adapter;
  if (const GradientPtr gb = GradientOf(b)) {
    AccumulateProduct(backend, gb, b.shape(), dz, true, addition.low, false);
  }
  const GradientPtr ga = GradientOf(a);
  if (!ga && !gx) return;
  const Tensor dlow = Tensor::Empty(addition.low.shape());
  backend.MatMul(dz, false, b, false, dlow, false);
  backend.Scale(scale, dlow);
  if (ga) AccumulateProduct(backend, ga, a.shape(), dlow, true, addition.drop(x), false);
  if (!gx) return;
  if (!addition.drop.any()) return AccumulateProduct(backend, gx, x.shape(), dlow, false, a, false);
  const Tensor dx = Tensor::Empty(x.shape());
  backend.MatMul(dlow, false, a, false, dx, false);
  Accumulate(gx, addition.drop(dx));
}

/// What Backward does for y = act(x W + additions + bias), where `rounded` is x as W multiplied it.
void Record(Tape* tape, const Product& p, const Tensor& rounded, const std::vector<Addition>& additions,
            const Tensor& y) {
  Backend& backend = BackendOf(p.x);
  const bool out_in = p.layout == WeightLayout::kOutIn;
  const GradientPtr gw = GradientOf(p.weight);
  tape->Record([=, &backend, weight = p.weight, act = p.act, gx = GradientOf(p.x), gb = GradientOf(p.bias),
                gy = y.Track(), y = p.act == Act::kNone ? Tensor() : y, x_shape = p.x.shape(),
                bias_shape = p.bias ? p.bias.shape() : Shape(), x = additions.empty() ? Tensor() : p.x,
                rounded = gw ? rounded : Tensor()] {
    if (!gy->value) return;
    Tensor dz = gy->value;
    if (act != Act::kNone) {
      dz = Tensor::Empty(dz.shape());
      backend.ActivateBackward(y, gy->value, act, dz);
    }
    if (gb) backend.SumRows(dz, Accumulator(gb, bias_shape));
    const Tensor dz_rounded = ForProductWith(weight, dz);
    if (gw) {
      AccumulateProduct(backend, gw, weight.shape(), out_in ? dz_rounded : rounded, true,
                        out_in ? rounded : dz_rounded, false);
    }
    if (gx) {
      const Tensor dx = Tensor::Empty(x_shape);
      backend.MatMul(dz_rounded, false, weight, !out_in, dx, false);
      Accumulate(gx, dx);
    }
    for (const Addition& addition : additions) AdditionBackward(backend, addition, x, dz, gx);
  });
}

/// The tape if any input of a product is tracked, else null.
Tape* TapeFor(const Product& p, const std::vector<Addition>& additions) {
  Tape* tape = Tape::For(p.x, p.weight, p.bias);
  for (const Addition& addition : additions) {
    if (tape == nullptr) tape = Tape::For(addition.adapter.a, addition.adapter.b);
  }
  return tape;
}

void Multiply(Backend& backend, const std::vector<Projection>& projections) {
  if (!Tape::Training()) {
    backend.Project(projections);
  } else {  // the results of a training step may depend on its number of rows, which makes products a little
            // faster
    for (const Projection& p : projections) backend.MatMul(p.x, false, p.w, p.out_in, p.y, false);
  }
}

/// ys[i] += what additions[i] add; their `low` is still without its factor.
void Add(Backend& backend, const std::vector<std::vector<Addition>>& additions,
         const std::vector<Projection>& ys) {
  std::vector<Projection> ups;
  std::vector<Tensor> sums;
  for (size_t i = 0; i < additions.size(); ++i) {
    for (const auto& [adapter, drop, low] : additions[i]) {
      backend.Scale(adapter.scale, low);
      ups.push_back({low, adapter.b, true, Tensor::Empty(ys[i].y.shape())});
      sums.push_back(ys[i].y);
    }
  }
  if (ups.empty()) return;
  Multiply(backend, ups);
  for (size_t i = 0; i < ups.size(); ++i) backend.AddTo(ups[i].y, sums[i]);
}

}  // namespace

std::vector<Tensor> Linears(const std::vector<Product>& products) {
  std::vector<Projection> projections;
  for (const Product& p : products) {
    const bool out_in = p.layout == WeightLayout::kOutIn;
    const Dim in = p.weight.dim(out_in ? 1 : 0), out = p.weight.dim(out_in ? 0 : 1);
    CheckLinear(p.x, p.weight, p.bias, in, out);
    projections.push_back(
        {ForProductWith(p.weight, p.x), p.weight, out_in, Tensor::Empty({p.x.dim(0), out})});
  }
  if (products.empty()) return {};
  std::vector<std::vector<Addition>> additions;
  for (const Product& p : products) {
    additions.push_back(AdditionsTo(p));
    for (const auto& [adapter, drop, low] : additions.back())
      projections.push_back({drop(p.x), adapter.a, true, low});
  }
  Backend& backend = BackendOf(products[0].x);
  Multiply(backend, projections);
  Add(backend, additions, projections);
  std::vector<Tensor> ys;
  for (size_t i = 0; i < products.size(); ++i) {
    const Product& p = products[i];
    const Tensor& y = projections[i].y;
    if (p.bias || p.act != Act::kNone) backend.BiasActivate(p.bias, p.act, y);
    if (Tape* tape = TapeFor(p, additions[i])) Record(tape, p, projections[i].x, additions[i], y);
    ys.push_back(y);
  }
  return ys;
}

Tensor Linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Act act, WeightLayout layout) {
  return Linears({{x, weight, bias, act, layout}})[0];
}

}  // namespace linnet::ops
