// Which types a conversion gives to parameters, and that what it writes is the model again.
#include "nn/conversion.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>

#include "formats/refusal.h"
#include "formats/safetensors.h"
#include "kernels/backend.h"
#include "small_sizes.h"

namespace linnet {
namespace {

constexpr auto kSafetensors = FileFormat::kSafetensors;
constexpr auto kGguf = FileFormat::kGguf;

DType TypeOf(const std::string& name, Role role, DType stored, std::optional<DType> type,
             FileFormat format = kSafetensors, Dim row = 256) {
  return ConvertedType(name, {8, row}, role, stored, type, format);
}

TEST(ConvertedType, MatricesGetWhatIsAskedFor) {
  const auto matrix = [](std::optional<DType> type, Dim row = 256) {
    return TypeOf("blocks.0.att.key.weight", Role::kMatrix, DType::kF32, type, kSafetensors, row);
  };
  for (DType type : {DType::kF32, DType::kBf16, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ6_K}) {
    EXPECT_EQ(matrix(type), type);
  }
  EXPECT_EQ(matrix(std::nullopt), DType::kF32);
  EXPECT_EQ(matrix(DType::kQ4_K, 96), DType::kQ5_0);
  EXPECT_EQ(matrix(DType::kQ5_K, 96), DType::kQ5_1);
  EXPECT_EQ(matrix(DType::kQ6_K, 96), DType::kQ8_0);
  EXPECT_EQ(matrix(DType::kQ4_K, 40), DType::kBf16);
  EXPECT_EQ(matrix(DType::kQ8_0, 40), DType::kBf16);
  EXPECT_EQ(TypeOf("emb.weight", Role::kMatrix, DType::kQ4_0, std::nullopt), DType::kQ4_0);
  EXPECT_EQ(TypeOf("emb.weight", Role::kMatrix, DType::kF64, std::nullopt), DType::kF32);
}

TEST(ConvertedType, TheHeadIsFiner) {
  const auto head = [](DType type, Dim row = 256) {
    return TypeOf("head.weight", Role::kMatrix, DType::kF32, type, kSafetensors, row);
  };
  EXPECT_EQ(head(DType::kQ4_0), DType::kQ6_K);
  EXPECT_EQ(head(DType::kQ5_K), DType::kQ6_K);
  EXPECT_EQ(head(DType::kQ8_0), DType::kQ8_0);
  EXPECT_EQ(head(DType::kBf16), DType::kBf16);
  EXPECT_EQ(head(DType::kQ4_0, 96), DType::kQ8_0);
}

TEST(ConvertedType, VectorsAreNeverRounded) {
  const auto vector = [](DType stored, std::optional<DType> type, FileFormat format = kSafetensors) {
    return TypeOf("blocks.0.att.w0", Role::kVector, stored, type, format);
  };
  EXPECT_EQ(vector(DType::kF32, DType::kBf16), DType::kF32);
  EXPECT_EQ(vector(DType::kF32, DType::kQ4_0), DType::kF32);
  EXPECT_EQ(vector(DType::kBf16, DType::kF16), DType::kBf16);
  EXPECT_EQ(vector(DType::kBf16, std::nullopt), DType::kBf16);
  EXPECT_EQ(vector(DType::kBf16, DType::kF32), DType::kF32);
  EXPECT_EQ(vector(DType::kBf16, std::nullopt, kGguf), DType::kF32);
}

TEST(ConvertedType, LowRankFactorsAreNotQuantized) {
  const auto factor = [](const char* name, DType stored, std::optional<DType> type,
                         FileFormat format = kSafetensors) {
    return TypeOf(name, Role::kLowRank, stored, type, format);
  };
  EXPECT_EQ(factor("blocks.1.att.g1", DType::kF32, DType::kQ4_K), DType::kBf16);
  EXPECT_EQ(factor("blocks.1.att.g1", DType::kF16, DType::kQ4_K), DType::kF16);
  EXPECT_EQ(factor("blocks.1.att.g1", DType::kQ5_0, std::nullopt), DType::kBf16);
  EXPECT_EQ(factor("blocks.1.att.g1", DType::kF32, DType::kF16), DType::kF16);
  EXPECT_EQ(factor("blocks.1.att.g1", DType::kF32, std::nullopt), DType::kF32);
  EXPECT_EQ(factor("blocks.1.att.g1", DType::kBf16, std::nullopt, kGguf), DType::kBf16);
  EXPECT_EQ(factor("blocks.1.att.w1", DType::kBf16, DType::kQ8_0, kGguf), DType::kF32);
  EXPECT_EQ(factor("blocks.1.att.time_decay_w2", DType::kBf16, DType::kQ8_0, kGguf), DType::kF32);
}

std::vector<std::string> Bytes() {
  std::vector<std::string> bytes;
  for (int i = 0; i < 256; ++i) bytes.emplace_back(1, static_cast<char>(i));
  return bytes;
}

/// Conversions of small models between files in a folder of the test's own.
class ConversionTest : public testing::Test {
 protected:
  ConversionTest() : folder_(testing::TempDir() + "linnet-conversion-" + std::to_string(getpid())) {
    std::filesystem::create_directories(folder_);
    WriteModel("rwkv7", {{"blocks.0.att.v0", Tensor::Zeros({1, 1, 64})}});  // no computation uses it
  }
  /// f32.safetensors: a model of two layers with `more` tensors.
  void WriteModel(const std::string& name, std::vector<NamedTensor> more = {}) const {
    const Architecture& architecture = FindArchitecture(name);
    const Sizes sizes{{"layers", 2}, {"width", 64}, {"vocab", 256}, {"head_size", 16}};
    const LoadedModel model = NewModel(architecture, SmallSizes(architecture, sizes), 1);
    Random random(2);
    for (const Parameter& p : model.params->parameters()) {
      for (Dim i = 0; i < p.tensor.size(); ++i) {
        p.tensor.data()[i] += static_cast<float>(0.1 * random.Normal());
      }
      more.push_back({p.name, p.tensor});
    }
    WriteSafetensors(
        Path("f32.safetensors"), more,
        {{"tokenizer", "bytes"}, {"step", "7"}, {"general.author", "someone"}, {"rwkv7.block_count", "99"}});
  }
  ~ConversionTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ / name; }

  std::unique_ptr<Checkpoint> Converted(const std::string& from, const std::string& to,
                                        std::optional<DType> type = std::nullopt) const {
    const Conversion conversion(Path(from), FormatOfName(to), type);
    conversion.Write(Path(to), Bytes());
    return Checkpoint::Open(Path(to));
  }

  std::filesystem::path folder_;
};

bool SameTensors(const Checkpoint& a, const Checkpoint& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& entry : a.entries()) {
    if (b.Find(entry.name) == nullptr) return false;
    const Tensor x = a.Load(entry.name), y = b.Load(entry.name);
    const bool same =
        x.dtype() == y.dtype() && x.shape() == y.shape() && std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
    if (!same) return false;
  }
  return true;
}

Tensor Widened(const Checkpoint& file, const std::string& name) {
  const Tensor tensor = file.Load(name), wide = Tensor::Empty(tensor.shape());
  Backend::For(Device::kCpu).Convert(tensor, wide);
  return wide;
}

/// Whether `b` has the values of `a`, vectors and factors in float32 perhaps.
bool SameValues(const Checkpoint& a, const Checkpoint& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& entry : a.entries()) {
    if (b.Find(entry.name) == nullptr || b.Find(entry.name)->shape != entry.shape) return false;
    const Tensor x = Widened(a, entry.name), y = Widened(b, entry.name);
    if (std::memcmp(x.raw(), y.raw(), x.bytes()) != 0) return false;
  }
  return true;
}

TEST_F(ConversionTest, EveryArchitectureComesBackFromEveryFormatThatHasIt) {
  for (const Architecture& architecture : Architectures()) {
    WriteModel(architecture.name);
    const auto source = Checkpoint::Open(Path("f32.safetensors"));
    EXPECT_TRUE(SameTensors(*source, *Converted("f32.safetensors", "a.pth"))) << architecture.name;
    EXPECT_TRUE(SameTensors(*source, *Converted("a.pth", "a.safetensors"))) << architecture.name;
    const bool in_gguf = architecture.name == "rwkv6" || architecture.name == "rwkv7";
    if (in_gguf) {
      EXPECT_TRUE(SameTensors(*source, *Converted("a.pth", "a.gguf"))) << architecture.name;
      EXPECT_NO_THROW(LoadModel(Path("a.gguf")));
    } else {
      EXPECT_TRUE(Refuses([&] { Converted("a.pth", "a.gguf"); }, "llama.cpp, whose format GGUF is, runs"));
    }
  }
}

TEST_F(ConversionTest, GgufHoldsEveryTypeAndTheMetadata) {
  for (DType type : {DType::kF32, DType::kBf16, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,
                     DType::kQ5_0, DType::kQ5_1, DType::kQ4_K, DType::kQ5_K, DType::kQ6_K}) {
    const auto first = Converted("f32.safetensors", "a.safetensors", type);
    const auto gguf = Converted("a.safetensors", "a.gguf");
    EXPECT_TRUE(SameValues(*first, *gguf)) << Traits(type).name;
    EXPECT_EQ(gguf->Find("blocks.1.ffn.key.weight")->dtype, first->Find("blocks.1.ffn.key.weight")->dtype);
    const auto back = Converted("a.gguf", "b.safetensors");
    EXPECT_TRUE(SameTensors(*gguf, *back)) << Traits(type).name;
    EXPECT_EQ(back->metadata().at("step"), "7");
    EXPECT_EQ(back->metadata().at("tokenizer"), "bytes");
    EXPECT_EQ(back->metadata().at("general.author"), "someone");
    EXPECT_EQ(gguf->metadata().at("rwkv7.block_count"), "2");  // not what the source's metadata said
    EXPECT_FALSE(back->metadata().contains("rwkv7.block_count"));
  }
}

TEST_F(ConversionTest, GgufHasLlamaCppsLayouts) {
  Converted("f32.safetensors", "a.gguf");
  const auto source = Checkpoint::Open(Path("f32.safetensors"));
  const auto file = Checkpoint::OpenAsStored(MappedFile(Path("a.gguf")));
  const auto equal = [](const Tensor& x, const Tensor& y, Dim from = 0) {
    return std::memcmp(x.raw(), y.data() + from, x.bytes()) == 0;
  };
  const Tensor fused = file->Load("blk.1.time_mix_lerp_fused.weight");
  EXPECT_EQ(fused.shape(), Shape({6, 1, 1, 64}));
  const char* const order[] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};
  for (Dim i = 0; i < 6; ++i) {
    EXPECT_TRUE(equal(source->Load(std::string("blocks.1.att.") + order[i]), fused, i * 64)) << order[i];
  }
  const Tensor a1 = source->Load("blocks.0.att.a1"), stored = file->Load("blk.0.time_mix_a1.weight");
  ASSERT_EQ(stored.shape(), Shape({a1.dim(1), a1.dim(0)}));
  for (Dim row = 0; row < a1.dim(0); ++row) {
    for (Dim column = 0; column < a1.dim(1); ++column) {
      EXPECT_EQ(stored.data()[column * a1.dim(0) + row], a1.data()[row * a1.dim(1) + column]);
    }
  }
  for (const char* end : {"0.weight", "1.weight", "2.weight"}) {
    EXPECT_TRUE(equal(file->Load(std::string("blk.0.time_mix_a") + end),
                      file->Load(std::string("blk.0.time_mix_v") + end)));
  }
  EXPECT_EQ(file->Find("blk.1.time_mix_r_k.weight")->shape, Shape({64}));
  EXPECT_EQ(file->metadata().at("rwkv7.wkv.head_size"), "16");
  EXPECT_EQ(file->metadata().at("rwkv7.attention.head_count"), "0");
  EXPECT_EQ(file->metadata().at("general.file_type"), "0");
  EXPECT_EQ(file->vocabulary().at(10), "\n");
}

TEST_F(ConversionTest, KeepsEveryBitBetweenFormatsWithTheSameTypes) {
  for (DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    const auto first = Converted("f32.safetensors", "a.safetensors", type);
    EXPECT_EQ(first->Find("blocks.0.att.v0"), nullptr);
    EXPECT_EQ(first->metadata().at("step"), "7");
    const auto pth = Converted("a.safetensors", "b.pth");
    EXPECT_TRUE(SameTensors(*first, *pth)) << Traits(type).name;
    EXPECT_TRUE(SameTensors(*first, *Converted("b.pth", "c.safetensors", type))) << Traits(type).name;
  }
}

TEST_F(ConversionTest, QuantizedMatricesAreTheBackendsBlocksAndStayAsTheyAre) {
  const auto source = Checkpoint::Open(Path("f32.safetensors"));
  for (DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1}) {
    const auto file = Converted("f32.safetensors", "q.safetensors", type);
    const Tensor key = file->Load("blocks.1.ffn.key.weight");
    ASSERT_EQ(key.dtype(), type);
    const Tensor blocks = Tensor::Empty(key.shape(), type);
    Backend::For(Device::kCpu).Convert(source->Load("blocks.1.ffn.key.weight"), blocks);
    EXPECT_EQ(std::memcmp(key.raw(), blocks.raw(), blocks.bytes()), 0) << Traits(type).name;
    EXPECT_TRUE(SameTensors(*file, *Converted("q.safetensors", "again.safetensors")));
    EXPECT_NO_THROW(LoadModel(Path("again.safetensors")));
  }
}

TEST_F(ConversionTest, APthOfBlocksIsRefusedBeforeAnythingIsWritten) {
  const auto refused = [&] { Converted("f32.safetensors", "q.pth", DType::kQ8_0); };
  EXPECT_TRUE(Refuses(refused, "torch has no such type; write a .gguf or .safetensors"));
  EXPECT_FALSE(std::filesystem::exists(Path("q.pth")));
}

TEST_F(ConversionTest, AValueThatF16CannotHoldIsRefused) {
  const auto source = Checkpoint::Open(Path("f32.safetensors"));
  std::vector<NamedTensor> tensors;
  for (const auto& entry : source->entries())
    tensors.push_back({entry.name, source->Load(entry.name).Clone()});
  for (const auto& [name, tensor] : tensors) {
    if (name == "emb.weight") tensor.data()[7] = 70000;
  }
  WriteSafetensors(Path("large.safetensors"), tensors, {});
  EXPECT_TRUE(Refuses([&] { Converted("large.safetensors", "h.safetensors", DType::kF16); },
                      "emb.weight has 1 values that f16 cannot hold"));
  EXPECT_FALSE(std::filesystem::exists(Path("h.safetensors")));
}

TEST(FormatOfName, NeedsAKnownEnding) {
  EXPECT_EQ(FormatOfName("a.b/x.gguf"), kGguf);
  EXPECT_TRUE(Refuses([] { FormatOfName("model.bin"); }, "end it in .safetensors, .gguf or .pth"));
}

}  // namespace
}  // namespace linnet
