// RWKV-2, held against its formulas in plain loops.
#include <gtest/gtest.h>

#include <cmath>

#include "nn/model.h"
#include "ops/reference.h"

namespace linnet {
namespace {

using reference::Values;
constexpr size_t kWidth = 12, kFfn = 20, kVocab = 9;

/// A model none of whose parameters is at a value that hides others.
LoadedModel WarmModel() {
  const Architecture& rwkv2 = FindArchitecture("rwkv2");
  const Sizes sizes{{"layers", 2}, {"width", kWidth}, {"ffn", kFfn}, {"vocab", kVocab}};
  LoadedModel model = NewModel(rwkv2, rwkv2.complete_sizes(sizes), 1);
  Random random(5);
  for (const Parameter& p : model.params->parameters()) {
    for (Dim i = 0; i < p.tensor.size(); ++i) {
      p.tensor.data()[i] += static_cast<float>(0.3 * random.Normal());
    }
  }
  return model;
}

class Rwkv2 : public testing::Test {
 protected:
  Rwkv2() : model_(WarmModel()) {
    sequence_.start = {0, static_cast<int>(tokens_.size())};
    sequence_.slot = {0};
  }

  Values Parameter(const std::string& name) const {
    for (const linnet::Parameter& p : model_.params->parameters()) {
      if (p.name == name) return {p.tensor.data(), p.tensor.data() + p.tensor.size()};
    }
    throw Error("no parameter " + name);
  }
  Values Norm(const Values& x, const std::string& name) const {
    return reference::GroupNorm(x, Parameter(name + ".weight"), Parameter(name + ".bias"), 1, 1e-5);
  }
  Values Mixed(const Values& h, const std::string& part) const {
    return reference::ShiftMix(h, {Parameter(part + "time_mix")}, Values(kWidth, 0.0), sequence_, true,
                               kWidth)[0];
  }
  Values Product(const Values& x, const std::string& name, size_t in, size_t out) const {
    return reference::Linear(x, Parameter(name + ".weight"), {}, in, out);
  }
  Values TimeMix(const Values& h, const std::string& att) const {
    const Values x = Mixed(h, att);
    const auto product = [&](const char* name) { return Product(x, att + name, kWidth, kWidth); };
    Values nothing(3 * kWidth, 0.0);
    std::fill_n(nothing.begin() + 2 * kWidth, kWidth, -1e38);
    const Values wkv = reference::Wkv4(
        {product("key"), product("value"), Parameter(att + "time_decay"), Parameter(att + "time_first")},
        nothing, sequence_)[0];
    return Product(reference::Gate(wkv, product("receptance"), GateKind::kSigmoid), att + "output", kWidth,
                   kWidth);
  }
  Values ChannelMix(const Values& h, const std::string& ffn) const {
    const Values x = Mixed(h, ffn);
    Values k = Product(x, ffn + "key", kWidth, kFfn);
    for (double& value : k) value = value > 0 ? value * value : 0;
    return reference::Gate(Product(k, ffn + "value", kFfn, kWidth),
                           Product(x, ffn + "receptance", kWidth, kWidth), GateKind::kSigmoid);
  }
  static Values Sum(Values a, const Values& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    return a;
  }

  LoadedModel model_;
  const std::vector<int> tokens_ = {3, 1, 4, 1, 5, 8, 2, 6, 5, 3, 5, 8};
  Sequences sequence_;
};

TEST_F(Rwkv2, IsItsFormulas) {
  const Values table = Parameter("emb.weight");
  Values x;
  for (int token : tokens_) x.insert(x.end(), &table[token * kWidth], &table[(token + 1) * kWidth]);
  for (const std::string block : {"blocks.0.", "blocks.1."}) {
    x = Norm(x, block + "ln1");  // the residual stream goes through the norm
    x = Sum(x, TimeMix(x, block + "att."));
    x = Norm(x, block + "ln2");
    x = Sum(x, ChannelMix(x, block + "ffn."));
  }
  const Values expected = Product(Norm(x, "ln_out"), "head", kWidth, kVocab);
  Batch batch;
  batch.Append(tokens_, 0);
  const Tensor logits = model_.model->Forward(batch, model_.NewState(1));
  ASSERT_EQ(static_cast<size_t>(logits.size()), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(logits.data()[i], expected[i], 2e-5) << i;
}

TEST_F(Rwkv2, BeginsWithHalfOfTheChannelsShifted) {
  const Architecture& rwkv2 = FindArchitecture("rwkv2");
  const LoadedModel fresh =
      NewModel(rwkv2, rwkv2.complete_sizes({{"layers", 3}, {"width", 8}, {"vocab", 9}}), 1);
  for (const linnet::Parameter& p : fresh.params->parameters()) {
    if (p.name.ends_with("time_mix")) {
      for (int c = 0; c < 8; ++c) EXPECT_EQ(p.tensor.data()[c], c < 4 ? 0 : 1) << p.name;
    }
    if (p.name == "blocks.0.att.time_decay") {
      EXPECT_NEAR(p.tensor.data()[0], std::log(3.5), 1e-6);
      EXPECT_NEAR(p.tensor.data()[7], std::log(3.5 * std::pow(0.65, 7)), 1e-5);
    }
    if (p.name == "blocks.2.att.time_decay") {
      EXPECT_NEAR(p.tensor.data()[7], std::log(1.2 * std::pow(0.37, 7)), 1e-5);
    }
  }
}

}  // namespace
}  // namespace linnet
