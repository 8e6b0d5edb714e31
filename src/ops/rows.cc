// Ops on rows that know nothing of each other.
#include <algorithm>

#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

void CheckSame(const char* op, const Tensor& a, const Tensor& b) {
  Check(a.shape() == b.shape(), "[{}] shapes {} and {} differ", op, a.shape(), b.shape());
}

/// The parts of x along its first extent, which share its memory.
std::vector<Tensor> Slices(const Tensor& x) {
  Shape shape;
  for (int i = 1; i < x.shape().rank(); ++i) shape.Append(x.dim(i));
  const auto owner = std::make_shared<Tensor>(x);
  const size_t bytes = x.bytes() / x.dim(0);
  std::vector<Tensor> slices;
  for (Dim p = 0; p < x.dim(0); ++p) {
    slices.push_back(Tensor::Wrap(owner, static_cast<std::byte*>(x.raw()) + p * bytes, shape, x.dtype()));
  }
  return slices;
}

std::vector<GradientPtr> TrackAll(const std::vector<Tensor>& tensors) {
  std::vector<GradientPtr> gradients;
  for (const Tensor& t : tensors) gradients.push_back(t.Track());
  return gradients;
}

/// sum[p] += gradients[p], of those that arrived.
void AddToSlices(const std::vector<GradientPtr>& gradients, const Tensor& sum) {
  const std::vector<Tensor> slices = Slices(sum);
  for (size_t p = 0; p < slices.size(); ++p) {
    if (gradients[p]->value) BackendOf(sum).AddTo(gradients[p]->value, slices[p]);
  }
}

}  // namespace

Tensor Embedding(const Tensor& table, std::span<const int> ids) {
  Check(table.shape().rank() == 2, "[embedding] a table is [V, C], this is {}", table.shape());
  for (int id : ids) {
    Check(id >= 0 && id < table.dim(0), "[embedding] token {} is not in the vocabulary of {}", id,
          table.dim(0));
  }
  Backend& backend = BackendOf(table);
  const Tensor y = Tensor::Empty({static_cast<Dim>(ids.size()), table.dim(1)});
  backend.Gather(table, ids, y);
  if (Tape* tape = Tape::For(table)) {
    tape->Record([&backend, gt = table.gradient(), gy = y.Track(), shape = table.shape(),
                  ids = std::vector<int>(ids.begin(), ids.end())] {
      if (gy->value) backend.ScatterAdd(gy->value, ids, Accumulator(gt, shape));
    });
  }
  return y;
}

Tensor Rows(const Tensor& x, std::span<const int> rows) {
  if (rows.empty()) return x;
  for (int row : rows) Check(row >= 0 && row < x.dim(0), "[rows] there is no row {} in {}", row, x.dim(0));
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty({static_cast<Dim>(rows.size()), x.dim(1)});
  backend.Gather(x, rows, y);
  if (Tape* tape = Tape::For(x)) {
    tape->Record([&backend, gx = x.gradient(), gy = y.Track(), shape = x.shape(),
                  rows = std::vector<int>(rows.begin(), rows.end())] {
      if (gy->value) backend.ScatterAdd(gy->value, rows, Accumulator(gx, shape));
    });
  }
  return y;
}

Tensor Add(const Tensor& a, const Tensor& b) {
  CheckSame("add", a, b);
  const Tensor y = Tensor::Empty(a.shape());
  BackendOf(a).Add(a, b, y);
  if (Tape* tape = Tape::For(a, b)) {
    tape->Record([ga = GradientOf(a), gb = GradientOf(b), gy = y.Track()] {
      if (!gy->value) return;
      Accumulate(ga, gy->value);
      Accumulate(gb, gy->value);
    });
  }
  return y;
}

Tensor Lerp(const Tensor& a, const Tensor& b, const Tensor& m) {
  CheckSame("lerp", a, b);
  CheckSame("lerp", a, m);
  Backend& backend = BackendOf(a);
  const Tensor y = Tensor::Empty(a.shape());
  backend.Lerp(a, b, m, y);
  if (Tape* tape = Tape::For(a, b, m)) {
    tape->Record([=, &backend, gy = y.Track()] {
      if (!gy->value) return;
      const Tensor da = Tensor::Empty(a.shape()), db = Tensor::Empty(a.shape()),
                   dm = Tensor::Empty(a.shape());
      backend.LerpBackward(a, b, m, gy->value, da, db, dm);
      Accumulate(GradientOf(a), da);
      Accumulate(GradientOf(b), db);
      Accumulate(GradientOf(m), dm);
    });
  }
  return y;
}

Tensor Gate(const Tensor& x, const Tensor& z, GateKind kind) {
  CheckSame("gate", x, z);
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty(x.shape());
  backend.Gate(x, z, kind, y);
  if (Tape* tape = Tape::For(x, z)) {
    tape->Record([=, &backend, gy = y.Track()] {
      if (!gy->value) return;
      const Tensor dx = Tensor::Empty(x.shape()), dz = Tensor::Empty(x.shape());
      backend.GateBackward(x, z, kind, gy->value, dx, dz);
      Accumulate(GradientOf(x), dx);
      Accumulate(GradientOf(z), dz);
    });
  }
  return y;
}

Tensor Gelu(const Tensor& x) {
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty(x.shape());
  backend.Gelu(x, y);
  if (Tape* tape = Tape::For(x)) {
    tape->Record([=, &backend, gy = y.Track()] {
      if (!gy->value) return;
      const Tensor dx = Tensor::Empty(x.shape());
      backend.GeluBackward(x, gy->value, dx);
      Accumulate(GradientOf(x), dx);
    });
  }
  return y;
}

Tensor ScaleColumns(const Tensor& x, const Tensor& w, NumberKind kind) {
  const bool even = kind == NumberKind::kReal || w.size() % 2 == 0;
  Check(x.shape().rank() == 2 && w.size() == x.dim(1) && even, "[scale] {} cannot have factors {}", x.shape(),
        w.shape());
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty(x.shape());
  backend.ScaleColumns(x, w, kind, y);
  if (Tape* tape = Tape::For(x, w)) {
    tape->Record([=, &backend, gy = y.Track()] {
      if (!gy->value) return;
      const Tensor dx = Tensor::Empty(x.shape());
      backend.ScaleColumnsBackward(x, w, kind, gy->value, dx, AccumulatorFor(w));
      Accumulate(GradientOf(x), dx);
    });
  }
  return y;
}

std::vector<Tensor> SplitColumns(const Tensor& x, int parts) {
  Check(x.shape().rank() == 2 && parts > 0 && x.dim(1) % parts == 0, "[split] {} cannot be cut into {} parts",
        x.shape(), parts);
  Backend& backend = BackendOf(x);
  const Shape shape{parts, x.dim(0), x.dim(1) / parts};
  const Tensor whole = Tensor::Empty(shape);
  backend.SplitColumns(x, whole);
  const std::vector<Tensor> ys = Slices(whole);
  if (Tape* tape = Tape::For(x)) {
    tape->Record([=, &backend, gx = x.gradient(), gys = TrackAll(ys), x_shape = x.shape()] {
      const Tensor dwhole = Tensor::Zeros(shape), dx = Tensor::Empty(x_shape);
      AddToSlices(gys, dwhole);
      backend.JoinColumns(dwhole, dx);
      Accumulate(gx, dx);
    });
  }
  return ys;
}

Tensor JoinColumns(const std::vector<Tensor>& parts) {
  Check(!parts.empty(), "[join] there is nothing to join");
  for (const Tensor& part : parts) CheckSame("join", parts[0], part);
  if (parts.size() == 1) return parts[0];
  Backend& backend = BackendOf(parts[0]);
  const Dim count = static_cast<Dim>(parts.size()), rows = parts[0].dim(0), width = parts[0].dim(1);
  const Tensor whole = Tensor::Empty({count, rows, width}), y = Tensor::Empty({rows, count * width});
  const std::vector<Tensor> slices = Slices(whole);
  for (size_t p = 0; p < parts.size(); ++p) backend.Convert(parts[p], slices[p]);
  backend.JoinColumns(whole, y);
  const bool tracked = std::ranges::any_of(parts, &Tensor::tracked);
  if (Tape* tape = tracked ? Tape::Current() : nullptr) {
    std::vector<GradientPtr> gradients;
    for (const Tensor& part : parts) gradients.push_back(GradientOf(part));
    tape->Record([&backend, gradients, gy = y.Track(), shape = whole.shape()] {
      if (!gy->value) return;
      const Tensor dwhole = Tensor::Empty(shape);
      backend.SplitColumns(gy->value, dwhole);
      const std::vector<Tensor> slices = Slices(dwhole);
      for (size_t p = 0; p < slices.size(); ++p) Accumulate(gradients[p], slices[p]);
    });
  }
  return y;
}

std::vector<Tensor> Unstack(const Tensor& x) {
  Check(x.shape().rank() > 1, "[unstack] {} has no parts", x.shape());
  const std::vector<Tensor> ys = Slices(x);
  if (Tape* tape = Tape::For(x)) {
    tape->Record([gx = x.gradient(), gys = TrackAll(ys), shape = x.shape()] {
      AddToSlices(gys, Accumulator(gx, shape));
    });
  }
  return ys;
}

Tensor GroupNorm(const Tensor& x, const Tensor& weight, const Tensor& bias, int groups, float eps) {
  const Dim width = x.dim(1);
  Check(weight.size() == width && bias.size() == width,
        "[norm] x {} needs {} weights and biases, not {} and {}", x.shape(), width, weight.size(),
        bias.size());
  Check(groups > 0 && width % groups == 0, "[norm] a width of {} cannot be cut into {} groups", width,
        groups);
  Backend& backend = BackendOf(x);
  const Tensor y = Tensor::Empty(x.shape());
  Tape* tape = Tape::For(x, weight, bias);
  const Shape moments{x.dim(0), groups};
  const Tensor mean = tape ? Tensor::Empty(moments) : Tensor(),
               rstd = tape ? Tensor::Empty(moments) : Tensor();
  backend.GroupNorm(x, weight, bias, groups, eps, y, mean, rstd);
  if (tape != nullptr) {
    tape->Record([=, &backend, gy = y.Track()] {
      if (!gy->value) return;
      const Tensor dx = Tensor::Empty(x.shape());
      backend.GroupNormBackward(x, weight, mean, rstd, gy->value, dx, AccumulatorFor(weight),
                                AccumulatorFor(bias));
      Accumulate(GradientOf(x), dx);
    });
  }
  return y;
}

Tensor LayerNorm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps) {
  return GroupNorm(x, weight, bias, 1, eps);
}

}  // namespace linnet::ops
