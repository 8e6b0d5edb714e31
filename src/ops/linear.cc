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

}  // namespace

Tensor Linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Act act, WeightLayout layout) {
  const bool out_in = layout == WeightLayout::kOutIn;
  const Dim in = weight.dim(out_in ? 1 : 0), out = weight.dim(out_in ? 0 : 1);
  CheckLinear(x, weight, bias, in, out);
  Backend& backend = BackendOf(x);
  const Tensor rounded = ForProductWith(weight, x);
  const Tensor y = Tensor::Empty({x.dim(0), out});
  backend.Project(rounded, weight, out_in, y);
  if (bias || act != Act::kNone) backend.BiasActivate(bias, act, y);

  if (Tape* tape = Tape::For(x, weight, bias)) {
    tape->Record([=, &backend, gx = GradientOf(x), gb = GradientOf(bias), gw = GradientOf(weight),
                  gy = y.Track(), y = act == Act::kNone ? Tensor() : y, x_shape = x.shape()] {
      if (!gy->value) return;
      Tensor dz = gy->value;
      if (act != Act::kNone) {
        dz = Tensor::Empty(dz.shape());
        backend.ActivateBackward(y, gy->value, act, dz);
      }
      if (gb) backend.SumRows(dz, Accumulator(gb, bias.shape()));
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
  return y;
}

}  // namespace linnet::ops
