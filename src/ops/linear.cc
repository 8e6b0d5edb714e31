// Products with weight matrices.
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

/// What Backward does for y = act(x W + bias), where `rounded` is x as it was multiplied.
void Record(Tape* tape, const Product& p, const Tensor& rounded, const Tensor& y) {
  Backend& backend = BackendOf(p.x);
  const bool out_in = p.layout == WeightLayout::kOutIn;
  tape->Record([=, &backend, weight = p.weight, act = p.act, gx = GradientOf(p.x), gb = GradientOf(p.bias),
                gw = GradientOf(p.weight), gy = y.Track(), y = p.act == Act::kNone ? Tensor() : y,
                x_shape = p.x.shape(), bias_shape = p.bias ? p.bias.shape() : Shape()] {
    if (!gy->value) return;
    Tensor dz = gy->value;
    if (act != Act::kNone) {
      dz = Tensor::Empty(dz.shape());
      backend.ActivateBackward(y, gy->value, act, dz);
    }
    if (gb) backend.SumRows(dz, Accumulator(gb, bias_shape));
    const Tensor dz_rounded = ForProductWith(weight, dz);
    if (gw) {
      const bool add = static_cast<bool>(gw->value);
      const Tensor dw = add ? Accumulator(gw, weight.shape()) : Tensor::Empty(weight.shape());
      backend.MatMul(out_in ? dz_rounded : rounded, true, out_in ? rounded : dz_rounded, false, dw, add);
      if (!add) Accumulate(gw, dw);
    }
    if (gx) {
      const Tensor dx = Tensor::Empty(x_shape);
      backend.MatMul(dz_rounded, false, weight, !out_in, dx, false);
      Accumulate(gx, dx);
    }
  });
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
  Backend& backend = BackendOf(products[0].x);
  if (!Tape::Training()) {
    backend.Project(projections);
  } else {  // the results of a training step may depend on its number of rows, which makes products a little
            // faster
    for (const Projection& p : projections) backend.MatMul(p.x, false, p.w, p.out_in, p.y, false);
  }
  std::vector<Tensor> ys;
  for (size_t i = 0; i < products.size(); ++i) {
    const Product& p = products[i];
    const Tensor& y = projections[i].y;
    if (p.bias || p.act != Act::kNone) backend.BiasActivate(p.bias, p.act, y);
    if (Tape* tape = Tape::For(p.x, p.weight, p.bias)) Record(tape, p, projections[i].x, y);
    ys.push_back(y);
  }
  return ys;
}

Tensor Linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Act act, WeightLayout layout) {
  return Linears({{x, weight, bias, act, layout}})[0];
}

}  // namespace linnet::ops
