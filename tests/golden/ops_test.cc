// The reference's recurrence, norms and loss in float64: values and gradients.
#include "ops/ops.h"

#include "golden/golden.h"

namespace linnet {
namespace {

using golden::Values;

class GoldenOps : public testing::Test {
 protected:
  /// Opens F_ops/NAME.safetensors; null (and a skipped test) without golden data.
  std::unique_ptr<Checkpoint> Open(const std::string& name) {
    return Checkpoint::Open(golden::Folder() / "F_ops" / (name + ".safetensors"));
  }
  static Tensor Input(const Checkpoint& file, const std::string& name, const Shape& shape) {
    const std::vector<double> values = Values(file, name);
    const Tensor t = Tensor::Empty(shape);
    EXPECT_EQ(t.size(), static_cast<Dim>(values.size())) << name;
    for (Dim i = 0; i < t.size(); ++i) t.data()[i] = static_cast<float>(values[i]);
    t.Track();
    return t;
  }
  /// Norm of the difference over the norm.
  static void ExpectClose(const Tensor& got, const Checkpoint& file, const std::string& name,
                          double tolerance) {
    const std::vector<double> expected = Values(file, name);
    ASSERT_EQ(got.size(), static_cast<Dim>(expected.size())) << name;
    double difference = 0, norm = 0;
    for (Dim i = 0; i < got.size(); ++i) {
      difference += std::pow(got.data()[i] - expected[i], 2);
      norm += expected[i] * expected[i];
    }
    EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(norm)) << name;
  }
};

/// `batch` sequences of `time` rows, in slots of the same order.
Sequences Even(Dim batch, Dim time) {
  Sequences sequences;
  for (Dim s = 0; s < batch; ++s) {
    sequences.start.push_back(static_cast<int>((s + 1) * time));
    sequences.slot.push_back(static_cast<int>(s));
  }
  return sequences;
}

TEST_F(GoldenOps, Wkv4) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const auto file = Open("wkv4");
  const Dim batch = 2, time = 11, width = 16;
  const Wkv4Inputs in{Input(*file, "in.k", {batch * time, width}),
                      Input(*file, "in.v", {batch * time, width}), Input(*file, "in.w", {width}),
                      Input(*file, "in.u", {width})};
  const Tensor state = Tensor::Zeros({batch, 3, width}), out = Tensor::Zeros(state.shape());
  for (Dim s = 0; s < batch; ++s) std::fill_n(state.data() + (3 * s + 2) * width, width, ops::kWkv4Nothing);
  Tape tape;
  const Tensor y = ops::Wkv4(in, Even(batch, time), {state, out});
  ExpectClose(y, *file, "out.y", 1e-5);
  Accumulate(y.gradient(), Input(*file, "gradout.y", y.shape()).Detach());
  tape.Backward();
  ExpectClose(in.k.grad(), *file, "grad.k", 1e-5);
  ExpectClose(in.v.grad(), *file, "grad.v", 1e-5);
  ExpectClose(in.w.grad(), *file, "grad.w", 1e-5);
  ExpectClose(in.u.grad(), *file, "grad.u", 1e-5);
}

/// WKV-5 (w for all rows) and 6; "in.s" of the last is one initial state for all sequences, as [value, key].
TEST_F(GoldenOps, Wkv5AndWkv6) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const Dim batch = 2, time = 11, heads = 2, size = 8, width = heads * size;
  for (const std::string name : {"wkv5", "wkv6", "wkv6_initial_state"}) {
    SCOPED_TRACE(name);
    const auto file = Open(name);
    const auto input = [&](const char* n, const Shape& shape) {
      return Input(*file, std::string("in.") + n, shape);
    };
    const Shape rows{batch * time, width};
    const Wkv6Inputs in{input("r", rows), input("k", rows), input("v", rows),
                        input("w", name == "wkv5" ? Shape{width} : rows), input("u", {width})};
    const Tensor state = Tensor::Zeros({batch, heads, size, size}), out = Tensor::Zeros(state.shape());
    const bool given = file->Find("in.s") != nullptr;
    const auto transposed = [&](Dim s, Dim i) {  // element i of a head's state, seen as [value, key]
      return s * heads * size * size + i / (size * size) * size * size + i % size * size + i / size % size;
    };
    if (given) {
      const std::vector<double> s = Values(*file, "in.s");
      for (Dim b = 0; b < batch; ++b) {
        for (size_t i = 0; i < s.size(); ++i) {
          state.data()[transposed(b, static_cast<Dim>(i))] = static_cast<float>(s[i]);
        }
      }
      state.Track();
    }
    Tape tape;
    const Tensor y = ops::Wkv6(in, Even(batch, time), {state, out}, heads);
    ExpectClose(y, *file, "out.y", 1e-5);
    Accumulate(y.gradient(), Input(*file, "gradout.y", y.shape()).Detach());
    if (given) {
      ExpectClose(out, *file, "out.s_out", 1e-5);
      Accumulate(out.gradient(), Input(*file, "gradout.s_out", out.shape()).Detach());
    }
    tape.Backward();
    ExpectClose(in.r.grad(), *file, "grad.r", 1e-5);
    ExpectClose(in.k.grad(), *file, "grad.k", 1e-5);
    ExpectClose(in.v.grad(), *file, "grad.v", 1e-5);
    ExpectClose(in.w.grad(), *file, "grad.w", 1e-5);
    ExpectClose(in.u.grad(), *file, "grad.u", 1e-5);
    if (!given) continue;
    const Tensor ds = Tensor::Zeros({heads, size, size});
    for (Dim b = 0; b < batch; ++b) {
      for (Dim i = 0; i < ds.size(); ++i) ds.data()[i] += state.grad().data()[transposed(b, i)];
    }
    ExpectClose(ds, *file, "grad.s", 1e-5);
  }
}

TEST_F(GoldenOps, Wkv7) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const auto file = Open("wkv7");
  const Dim batch = 2, time = 11, heads = 2, size = 8, width = heads * size;
  const auto input = [&](const char* name) {
    return Input(*file, std::string("in.") + name, {batch * time, width});
  };
  const Wkv7Inputs in{input("r"), input("w"), input("k"), input("v"), input("a"), input("b")};
  const Tensor state = Input(*file, "in.s", {batch, heads, size, size}), out = Tensor::Zeros(state.shape());
  Tape tape;
  const Tensor y = ops::Wkv7(in, Even(batch, time), {state, out}, heads);
  ExpectClose(y, *file, "out.y", 1e-5);
  ExpectClose(out, *file, "out.s_out", 1e-5);
  Accumulate(y.gradient(), Input(*file, "gradout.y", y.shape()).Detach());
  Accumulate(out.gradient(), Input(*file, "gradout.s_out", out.shape()).Detach());
  tape.Backward();
  ExpectClose(in.r.grad(), *file, "grad.r", 1e-5);
  ExpectClose(in.w.grad(), *file, "grad.w", 1e-5);
  ExpectClose(in.k.grad(), *file, "grad.k", 1e-5);
  ExpectClose(in.v.grad(), *file, "grad.v", 1e-5);
  ExpectClose(in.a.grad(), *file, "grad.a", 1e-5);
  ExpectClose(in.b.grad(), *file, "grad.b", 1e-5);
  ExpectClose(state.grad(), *file, "grad.s", 1e-5);
}

TEST_F(GoldenOps, Norms) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  for (const auto& [name, eps] :
       {std::pair<std::string, float>{"layernorm_eps1e-5", 1e-5f}, {"groupnorm_eps64e-5", 64e-5f}}) {
    SCOPED_TRACE(name);
    const auto file = Open(name);
    const Dim width = file->Find("in.weight")->shape.size(), rows = file->Find("in.x")->shape.size() / width;
    const int count = name[0] == 'g' ? std::stoi(file->metadata().at("H")) : 1;
    const Tensor x = Input(*file, "in.x", {rows, width}), w = Input(*file, "in.weight", {width}),
                 b = Input(*file, "in.bias", {width});
    Tape tape;
    const Tensor y = ops::GroupNorm(x, w, b, count, eps);
    ExpectClose(y, *file, "out.y", 1e-5);
    Accumulate(y.gradient(), Input(*file, "gradout.y", y.shape()).Detach());
    tape.Backward();
    ExpectClose(x.grad(), *file, "grad.x", 1e-5);
    ExpectClose(w.grad(), *file, "grad.weight", 1e-5);
    ExpectClose(b.grad(), *file, "grad.bias", 1e-5);
  }
}

TEST_F(GoldenOps, LossWithAndWithoutL2Wrap) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const auto file = Open("loss");
  const Dim rows = 22, vocab = 23;
  const Tensor identity = Tensor::Zeros({vocab, vocab});
  for (Dim i = 0; i < vocab; ++i) identity.data()[i * vocab + i] = 1;
  std::vector<int> targets;
  for (double t : Values(*file, "in.targets")) targets.push_back(static_cast<int>(t));
  struct Case {
    std::string name;
    float l2_wrap, upstream;
  };
  for (const Case& c : {Case{"ce", 0, 1}, {"ce_l2wrap", 1e-4f, 1}, {"ce_l2wrap_gradout0.25", 1e-4f, 0.25f}}) {
    const Tensor logits = Input(*file, "in.logits", {rows, vocab});
    Tape tape;
    const Tensor loss = ops::CrossEntropy(logits, identity, targets, {c.l2_wrap});
    EXPECT_NEAR(loss.data()[0], Values(*file, c.name + ".loss")[0], 1e-6) << c.name;
    tape.Backward(loss, c.upstream);
    ExpectClose(logits.grad(), *file, c.name + ".grad_logits", 1e-5);
  }
}

TEST_F(GoldenOps, UnitVectors) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const auto file = Open("l2normalize_eps1e-12");
  const Checkpoint::Entry* entry = file->Find("in.x");
  ASSERT_NE(entry, nullptr);
  // Each head of a row is a vector: kk of MakeKeys with k_k = 1.
  const Dim size = entry->shape[-1], rows = entry->shape.size() / size;
  const int heads = std::stoi(file->metadata().at("H"));
  const Tensor x = Input(*file, "in.x", {rows, size}), ones = Tensor::Empty({size});
  std::fill_n(ones.data(), size, 1.0f);
  Tape tape;
  const auto keys = ops::MakeKeys(x, Tensor::Zeros(x.shape()), ones, ones, heads);
  const Tensor y = keys.removal;  // -kk
  Backend::For(Device::kCpu).Scale(-1, y);
  ExpectClose(y, *file, "out.y", 1e-5);
  const Tensor dy = Input(*file, "gradout.y", y.shape()).Detach();
  Backend::For(Device::kCpu).Scale(-1, dy);
  Accumulate(keys.removal.gradient(), dy);
  tape.Backward();
  ExpectClose(x.grad(), *file, "grad.x", 1e-5);
}

}  // namespace
}  // namespace linnet
