// Files that other programs wrote: rwkv.cpp's tiny models, which lie beside the golden data
// (shared/data/models).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "golden/golden.h"
#include "kernels/backend.h"
#include "nn/model.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

fs::path Models() { return golden::Folder().parent_path() / "data" / "models"; }

#define LINNET_SKIP_WITHOUT_MODELS() \
  if (!fs::is_directory(Models())) GTEST_SKIP() << "no models in " << Models()

/// Any tensor in the layout that its entry says, as floats.
std::vector<float> Decoded(const Checkpoint& file, const Checkpoint::Entry& entry) {
  const Tensor stored = file.Load(entry.name), decoded = Tensor::Empty(stored.shape());
  Backend::For(Device::kCpu).Convert(stored, decoded);
  const Dim rows = decoded.shape()[0], columns = decoded.size() / rows;
  std::vector<float> values;
  for (Dim i = 0; i < decoded.size(); ++i) {
    const Dim at = entry.transposed ? i % rows * columns + i / rows : i;
    values.push_back(decoded.data()[at]);
  }
  return values;
}

// The types differ in how exactly they hold a value, not in names, shapes or order.
TEST(GoldenRwkvCpp, TypesOfOneModelAgree) {
  LINNET_SKIP_WITHOUT_MODELS();
  for (const char* model : {"4v0-660K", "5v2-730K", "6v0-1m", "7v0-834K"}) {
    const auto exact = Checkpoint::Open(Models() / fmt::format("tiny-rwkv-{}-FP32.bin", model));
    const std::pair<const char*, float> others[] = {{"FP16", 5e-4f}, {"Q5_0", 0.08f}, {"Q5_1", 0.05f}};
    for (const auto& [type, tolerance] : others) {
      const auto other = Checkpoint::Open(Models() / fmt::format("tiny-rwkv-{}-{}.bin", model, type));
      EXPECT_EQ(other->format(), "rwkv.cpp");
      ASSERT_EQ(other->entries().size(), exact->entries().size());
      for (size_t i = 0; i < other->entries().size(); ++i) {
        const Checkpoint::Entry &a = exact->entries()[i], &b = other->entries()[i];
        ASSERT_EQ(a.name, b.name);
        ASSERT_EQ(a.shape, b.shape) << a.name;
        const std::vector<float> x = Decoded(*exact, a), y = Decoded(*other, b);
        float largest = 0, error = 0;
        for (size_t j = 0; j < x.size(); ++j) {
          largest = std::max(largest, std::abs(x[j]));
          error = std::max(error, std::abs(x[j] - y[j]));
        }
        // The tiny RWKV-4 has matrices of 1e-7, where half precision, of values or scales, is coarse.
        EXPECT_LE(error, tolerance * largest + 1e-6f) << model << " " << type << " " << a.name;
      }
    }
  }
}

// Names and shapes are those of the reference's own checkpoints.
TEST(GoldenRwkvCpp, NamesAreThePublishedOnes) {
  LINNET_SKIP_WITHOUT_MODELS();
  LINNET_SKIP_WITHOUT_GOLDEN();
  const std::tuple<const char*, const char*> pairs[] = {{"4v0-660K", "v4/v4.fp32.pth"},
                                                        {"5v2-730K", "v5.2/v5.2.fp32.pth"},
                                                        {"6v0-1m", "v6/v6.fp32.pth"},
                                                        {"7v0-834K", "v7-small/v7-small.bf16.pth"}};
  for (const auto& [model, golden] : pairs) {
    const auto tiny = Checkpoint::Open(Models() / fmt::format("tiny-rwkv-{}-FP32.bin", model));
    const auto published = Checkpoint::Open(golden::Folder() / "A_inference" / golden);
    for (const auto& entry : published->entries()) {
      ASSERT_NE(tiny->Find(entry.name), nullptr) << model << " " << entry.name;
      const auto wide = [](const Shape& s) { return s.rank() - std::count(s.begin(), s.end(), 1); };
      const bool one_head = entry.name.ends_with("r_k");  // [1, 64] in the tiny model
      EXPECT_EQ(wide(tiny->Find(entry.name)->shape), wide(entry.shape) - one_head) << entry.name;
    }
    for (const auto& entry : tiny->entries()) {
      if (!entry.name.starts_with("blocks.")) continue;
      const std::string in_block = entry.name.substr(entry.name.find('.', 7));  // blocks.N
      const bool known = published->Find("blocks.0" + in_block) || published->Find("blocks.1" + in_block);
      EXPECT_TRUE(known) << model << " has " << entry.name;
    }
  }
}

bool IsKnown(const std::string& architecture) {
  const auto all = Architectures();
  return std::any_of(all.begin(), all.end(), [&](const Architecture& a) { return a.name == architecture; });
}

/// The largest difference between a model's logits and those that rwkv.cpp printed after the three bytes "in,
/// with their quote.
float LogitsError(const std::string& model, const std::string& type, MatrixType matrices) {
  const std::string text = ReadFile(Models() / fmt::format("expected-logits-{}.bin", model));
  std::vector<float> expected(text.size() / sizeof(float));
  std::memcpy(expected.data(), text.data(), text.size());
  const LoadedModel loaded = LoadModel(Models() / fmt::format("tiny-rwkv-{}-{}.bin", model, type), matrices);
  Batch batch;
  batch.Append({'"', 'i', 'n'}, 0);
  batch.wanted = {2};
  const Tensor logits = loaded.model->Forward(batch, loaded.NewState(1));
  EXPECT_EQ(logits.size(), static_cast<Dim>(expected.size()));
  float error = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    error = std::max(error, std::abs(logits.data()[i] - expected[i]));
  return error;
}

// RWKV-5 is not among them: rwkv.cpp normalises its heads with another epsilon than the reference.
TEST(GoldenRwkvCpp, Logits) {
  LINNET_SKIP_WITHOUT_MODELS();
  struct Case {
    const char *model, *architecture;
    float float16, blocks;  // tolerances
  };
  const Case cases[] = {{"4v0-660K", "rwkv4", 1e-2f, 0.2f},
                        {"6v0-1m", "rwkv6", 1e-2f, 0.2f},
                        {"7v0-834K", "rwkv7", 1e-2f, 2e-2f}};
  for (const Case& c : cases) {
    if (!IsKnown(c.architecture)) continue;
    EXPECT_LE(LogitsError(c.model, "FP32", MatrixType::kStored), 1e-4f) << c.model;
    EXPECT_LE(LogitsError(c.model, "FP16", MatrixType::kF32), c.float16) << c.model;
    EXPECT_LE(LogitsError(c.model, "Q5_0", MatrixType::kStored), c.blocks) << c.model;
    EXPECT_LE(LogitsError(c.model, "Q5_1", MatrixType::kStored), c.blocks) << c.model;
  }
}

}  // namespace
}  // namespace linnet
