// Cross entropy over a large vocabulary, a chunk of rows at a time.
#include <algorithm>
#include <array>

#include "ops/internal.h"
#include "ops/ops.h"

namespace linnet::ops {

using namespace internal;

namespace {

/// Rows whose logits exist at a time. Each chunk reads and writes the gradient of the whole head, so there
/// must be enough of them to hide that behind their products; and few enough to bound memory (128 MB).
Dim RowsPerChunk(Dim vocab) {
  constexpr Dim kFewLogits = 4 << 20, kMostLogits = 32 << 20, kEnoughRows = 256;
  return std::max<Dim>(1, std::max(kFewLogits / vocab, std::min(kEnoughRows, kMostLogits / vocab)));
}

/// Rows [begin, end) of x, sharing its storage.
Tensor Slice(const Tensor& x, Dim begin, Dim end) {
  const size_t row_bytes = x.bytes() / static_cast<size_t>(x.dim(0));
  return Tensor::Wrap(std::make_shared<Tensor>(x), static_cast<const std::byte*>(x.raw()) + begin * row_bytes,
                      {end - begin, x.dim(1)}, x.dtype());
}

}  // namespace

Tensor CrossEntropy(const Tensor& hidden, const Tensor& head, std::span<const int> targets,
                    const LossOptions& options) {
  const Dim rows = hidden.dim(0), vocab = head.dim(0);
  Check(hidden.dim(1) == head.dim(1), "[cross_entropy] hidden {} does not fit the head {}", hidden.shape(),
        head.shape());
  Check(!options.bias || options.bias.size() == vocab,
        "[cross_entropy] the bias has {} elements for a vocabulary of {}",
        options.bias ? options.bias.size() : 0, vocab);
  Check(static_cast<Dim>(targets.size()) == rows, "[cross_entropy] {} targets for {} rows", targets.size(),
        rows);
  for (int t : targets)
    Check(t < vocab, "[cross_entropy] target {} is not in the vocabulary of {}", t, vocab);
  const Dim counted = options.counted > 0
                          ? options.counted
                          : std::max<Dim>(1, std::ranges::count_if(targets, [](int t) { return t >= 0; }));

  Backend& backend = BackendOf(hidden);
  Tape* tape = Tape::For(hidden, head, options.bias);
  const Tensor rounded = ForProductWith(head, hidden);
  const float scale = 1.0f / static_cast<float>(counted);
  // The gradients for an upstream gradient of 1 fall out of the same pass; Backward scales them.
  const Tensor dhidden = tape ? Tensor::Empty(hidden.shape()) : Tensor();
  const Tensor dhead = tape && head.tracked() ? Tensor::Empty(head.shape()) : Tensor();
  const Tensor dbias =
      tape && options.bias && options.bias.tracked() ? Tensor::Zeros(options.bias.shape()) : Tensor();
  // Blocks are unpacked once, not for each chunk.
  const Tensor weights = tape ? ForProductWith(head, head) : head;
  const Dim chunk = RowsPerChunk(vocab);
  double total = 0;
  for (Dim begin = 0; begin < rows; begin += chunk) {
    const Dim end = std::min(rows, begin + chunk);
    const Tensor part = Slice(rounded, begin, end), logits = Tensor::Empty({end - begin, vocab});
    backend.Project(std::array{Projection{part, weights, true, logits}});
    if (options.bias) backend.BiasActivate(options.bias, Activation::kNone, logits);
    total += backend.SoftmaxLoss(logits, targets.subspan(begin, end - begin), tape != nullptr, scale,
                                 options.l2_wrap * scale);
    if (tape == nullptr) continue;
    if (dbias) backend.SumRows(logits, dbias);
    const Tensor dlogits = ForProductWith(head, logits);
    backend.MatMul(dlogits, false, weights, false, Slice(dhidden, begin, end), false);
    if (dhead) backend.MatMul(dlogits, true, part, false, dhead, begin > 0);
  }
  const Tensor loss = Tensor::Empty({1});
  loss.data()[0] = static_cast<float>(total / static_cast<double>(counted));
  if (tape != nullptr) {
    tape->Record([=, &backend, gh = GradientOf(hidden), gw = GradientOf(head),
                  gb = options.bias ? GradientOf(options.bias) : nullptr, gl = loss.Track()] {
      const float upstream = gl->value.data()[0];
      for (const Tensor& d : {dhidden, dhead, dbias}) {
        if (d && upstream != 1) backend.Scale(upstream, d);
      }
      Accumulate(gh, dhidden);
      if (dhead) Accumulate(gw, dhead);
      if (dbias) Accumulate(gb, dbias);
    });
  }
  return loss;
}

}  // namespace linnet::ops
