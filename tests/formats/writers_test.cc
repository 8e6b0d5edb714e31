// What the writers of .pth and GGUF files write, and block types in safetensors: read back by linnet's own
// readers, by torch where there is one, and byte by byte.
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "formats/gguf.h"
#include "formats/gguf_model.h"
#include "formats/gguf_writer.h"
#include "formats/pth.h"
#include "formats/pth_builder.h"
#include "formats/refusal.h"
#include "formats/safetensors.h"
#include "formats/tensors.h"
#include "formats/zip.h"
#include "python.h"

namespace linnet {
namespace {

Contents ContentsOf(const std::vector<NamedTensor>& tensors) {
  Contents contents;
  for (const auto& [name, tensor] : tensors)
    contents.entries.push_back({name, tensor.shape(), tensor.dtype()});
  contents.load = [tensors](size_t i) { return tensors[i].tensor; };
  return contents;
}

void ExpectHolds(const Checkpoint& checkpoint, const std::vector<NamedTensor>& tensors) {
  ASSERT_EQ(checkpoint.entries().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(checkpoint.entries()[i].name, tensors[i].name);
    EXPECT_TRUE(SameBytes(checkpoint.Load(tensors[i].name), tensors[i].tensor)) << tensors[i].name;
  }
}

const std::vector<NamedTensor>& PthTensors() {
  static const std::vector<NamedTensor> tensors = {{"blocks.0.att.x_r", Counting({1, 1, 5}, DType::kF32)},
                                                   {"emb.weight", Counting({3, 2}, DType::kBf16)},
                                                   {"half", Counting({2, 1, 4, 3}, DType::kF16)},
                                                   {"scalar", Counting({}, DType::kF32)},
                                                   {"double", Counting({2}, DType::kF64)}};
  return tensors;
}

TEST(Writers, ThePthIsReadBack) {
  const auto path = Temporary("written.pth");
  WritePth(path, ContentsOf(PthTensors()));
  const auto checkpoint = Checkpoint::Open(path);
  EXPECT_EQ(checkpoint->format(), "pth");
  ExpectHolds(*checkpoint, PthTensors());
}

TEST(Writers, ThePthHasAlignedDataAndTrueChecksums) {
  const auto path = Temporary("aligned.pth");
  WritePth(path, ContentsOf(PthTensors()));
  const MappedFile file(path);
  const ZipArchive archive(file);
  for (const auto& member : archive.members()) {
    const auto* header = reinterpret_cast<const char*>(file.bytes().data()) + member.header_at;
    uint32_t checksum = 0;
    std::memcpy(&checksum, header + 14, sizeof checksum);
    const auto bytes = archive.InPlace(member);
    EXPECT_EQ((bytes.data() - file.bytes().data()) % 64, 0) << member.name;
    EXPECT_EQ(checksum, crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size())) << member.name;
  }
}

TEST(Writers, TorchLoadsThePth) {
  const std::string python = PythonThatCan("import torch");
  if (python.empty()) GTEST_SKIP() << "no python3 with torch (Debian: python3-torch)";
  const auto path = Temporary("for_torch.pth"), result = Temporary("for_torch.json");
  WritePth(path, ContentsOf(PthTensors()));
  constexpr const char* kProgram = R"(
import json, sys, torch
for options in {}, {"weights_only": True}:
    found = torch.load(sys.argv[1], map_location="cpu", **options)
    print(json.dumps([[name, str(t.dtype), list(t.shape), t.is_contiguous(),
                       t.reshape(-1).view(torch.uint8).tolist()] for name, t in found.items()]))
)";
  WriteFile(Temporary("load.py"), kProgram);
  const std::string command =
      fmt::format("{} {} {} >{}", python, Temporary("load.py").string(), path.string(), result.string());
  ASSERT_EQ(std::system(command.c_str()), 0);
  nlohmann::json expected;
  for (const auto& [name, tensor] : PthTensors()) {
    const std::map<DType, const char*> names = {{DType::kF32, "torch.float32"},
                                                {DType::kBf16, "torch.bfloat16"},
                                                {DType::kF16, "torch.float16"},
                                                {DType::kF64, "torch.float64"}};
    const auto* bytes = static_cast<const uint8_t*>(tensor.raw());
    expected.push_back({name, names.at(tensor.dtype()),
                        std::vector<Dim>(tensor.shape().begin(), tensor.shape().end()), true,
                        std::vector<int>(bytes, bytes + tensor.bytes())});
  }
  const std::string text = ReadFile(result);
  const size_t line = text.find('\n');
  EXPECT_EQ(nlohmann::json::parse(text.substr(0, line)), expected);
  EXPECT_EQ(nlohmann::json::parse(text.substr(line)), expected) << "weights_only";
}

TEST(Writers, APthOfBlocksIsRefusedWithTheRemedy) {
  const auto path = Temporary("blocks.pth");
  const auto contents = ContentsOf({{"w", Counting({2, 32}, DType::kQ8_0)}});
  EXPECT_TRUE(Refuses([&] { WritePth(path, contents); }, "cannot hold q8_0"));
  EXPECT_TRUE(Refuses([&] { WritePth(path, contents); }, "write a .gguf or .safetensors"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Writers, ATensorThatIsNotWhatWasAnnouncedIsRefused) {
  auto contents = ContentsOf({{"w", Counting({2, 3}, DType::kF32)}});
  contents.entries[0].shape = {3, 2};
  const auto path = Temporary("mismatch");
  const auto part = "the tensor w should be f32 [3, 2] but is f32 [2, 3]";
  EXPECT_TRUE(Refuses([&] { WritePth(path, contents); }, part));
  EXPECT_TRUE(Refuses([&] { WriteSafetensors(path, contents); }, part));
  EXPECT_TRUE(Refuses([&] { WriteGguf(path, {}, contents); }, part));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Writers, SafetensorsHoldBlocksAsBytesWithTheirTypeInTheMetadata) {
  const std::vector<NamedTensor> tensors = {
      {"q8", Counting({2, 64}, DType::kQ8_0)},   {"q4", Counting({3, 32}, DType::kQ4_0)},
      {"q41", Counting({1, 32}, DType::kQ4_1)},  {"q50", Counting({1, 32}, DType::kQ5_0)},
      {"q51", Counting({1, 32}, DType::kQ5_1)},  {"q4k", Counting({2, 256}, DType::kQ4_K)},
      {"q5k", Counting({1, 512}, DType::kQ5_K)}, {"q6k", Counting({1, 256}, DType::kQ6_K)},
      {"f32", Counting({4}, DType::kF32)}};
  const auto path = Temporary("blocks.safetensors");
  Contents contents = ContentsOf(tensors);
  contents.metadata = {{"linnet", "x"}, {"tokenizer", "bytes"}};
  WriteSafetensors(path, contents);
  const auto checkpoint = Checkpoint::Open(path);
  ExpectHolds(*checkpoint, tensors);
  EXPECT_EQ(checkpoint->metadata(), contents.metadata);
  const std::string text = ReadFile(path);
  EXPECT_NE(text.find(R"("q8":{"dtype":"U8","shape":[2,68],)"), std::string::npos);
  EXPECT_NE(text.find(R"("linnet.quantized.q5k":"q5_k")"), std::string::npos);
}

TEST(Writers, BlocksThatDoNotFitTheirTensorAreRefused) {
  const auto opening = [](const std::string& type, const std::string& tensor, size_t bytes) {
    const std::string header = R"({"__metadata__":{"linnet.quantized.w":")" + type + R"("},)" + tensor + "}";
    return [=] { OpenSafetensors(InMemory(SafetensorsFile(header, std::string(bytes, 'x')))); };
  };
  const std::string good = R"("w":{"dtype":"U8","shape":[1,34],"data_offsets":[0,34]})";
  EXPECT_NO_THROW(opening("q8_0", good, 34)());
  EXPECT_TRUE(Refuses(opening("q9", good, 34), "linnet.quantized.w is 'q9', which is no block type"));
  EXPECT_TRUE(Refuses(opening("f32", good, 34), "is no block type"));
  EXPECT_TRUE(Refuses(opening("q4_0", good, 34), "must be U8 [rows, a multiple of 18], but is U8 [1, 34]"));
  EXPECT_TRUE(Refuses(opening("q8_0", R"("w":{"dtype":"U8","shape":[34],"data_offsets":[0,34]})", 34),
                      "but is U8 [34]"));
  EXPECT_TRUE(Refuses(opening("q8_0", R"("w":{"dtype":"F32","shape":[1,34],"data_offsets":[0,136]})", 136),
                      "but is F32"));
  EXPECT_TRUE(Refuses(opening("q8_0", R"("v":{"dtype":"U8","shape":[1,34],"data_offsets":[0,34]})", 34),
                      "there is none of that name"));
  const std::string empty = R"("w":{"dtype":"U8","shape":[0,9223372036854775806],"data_offsets":[0,0]})";
  EXPECT_TRUE(Refuses(opening("q4_0", empty, 0), "must be U8"));
}

/// The fields of a GGUF file, read one after the other.
class GgufBytes {
 public:
  explicit GgufBytes(const MappedFile& file) : reader_(file.bytes(), "gguf") {}
  template <class T>
  T Number() {
    return reader_.Read<T>();
  }
  std::string Text() { return std::string(reader_.TakeText(Number<uint64_t>())); }
  size_t at() const { return reader_.at(); }

 private:
  ByteReader reader_;
};

TEST(Writers, TheGgufHasTheFieldsOfVersion3) {
  const auto path = Temporary("written.gguf");
  const std::vector<NamedTensor> tensors = {{"a.weight", Counting({2, 3}, DType::kF32)},
                                            {"b.weight", Counting({2, 256}, DType::kQ4_K)},
                                            {"c.weight", Counting({3, 1, 1, 5}, DType::kBf16)}};
  WriteGguf(path,
            {{"general.architecture", std::string("rwkv7")},
             {"n", uint32_t{7}},
             {"eps", 0.5f},
             {"flag", true},
             {"tokens", std::vector<std::string>{"<s>", "\\n"}},
             {"types", std::vector<int32_t>{3, 1}}},
            ContentsOf(tensors));
  const MappedFile file(path);
  GgufBytes in(file);
  EXPECT_EQ(in.Number<uint32_t>(), 0x46554747u);  // "GGUF"
  EXPECT_EQ(in.Number<uint32_t>(), 3u);
  EXPECT_EQ(in.Number<uint64_t>(), 3u);
  EXPECT_EQ(in.Number<uint64_t>(), 6u);
  EXPECT_EQ(in.Text(), "general.architecture");
  EXPECT_EQ(in.Number<uint32_t>(), 8u);
  EXPECT_EQ(in.Text(), "rwkv7");
  EXPECT_EQ(in.Text(), "n");
  EXPECT_EQ(in.Number<uint32_t>(), 4u);
  EXPECT_EQ(in.Number<uint32_t>(), 7u);
  EXPECT_EQ(in.Text(), "eps");
  EXPECT_EQ(in.Number<uint32_t>(), 6u);
  EXPECT_EQ(in.Number<float>(), 0.5f);
  EXPECT_EQ(in.Text(), "flag");
  EXPECT_EQ(in.Number<uint32_t>(), 7u);
  EXPECT_EQ(in.Number<uint8_t>(), 1u);
  EXPECT_EQ(in.Text(), "tokens");
  EXPECT_EQ(in.Number<uint32_t>(), 9u);
  EXPECT_EQ(in.Number<uint32_t>(), 8u);
  EXPECT_EQ(in.Number<uint64_t>(), 2u);
  EXPECT_EQ(in.Text(), "<s>");
  EXPECT_EQ(in.Text(), "\\n");
  EXPECT_EQ(in.Text(), "types");
  EXPECT_EQ(in.Number<uint32_t>(), 9u);
  EXPECT_EQ(in.Number<uint32_t>(), 5u);
  EXPECT_EQ(in.Number<uint64_t>(), 2u);
  EXPECT_EQ(in.Number<int32_t>(), 3);
  EXPECT_EQ(in.Number<int32_t>(), 1);
  const uint32_t types[] = {0, 12, 30};  // ggml's F32, Q4_K, BF16
  const std::vector<uint64_t> extents[] = {{3, 2}, {256, 2}, {5, 1, 1, 3}};
  std::vector<uint64_t> offsets;
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(in.Text(), tensors[i].name);
    EXPECT_EQ(in.Number<uint32_t>(), extents[i].size());
    for (uint64_t extent : extents[i]) EXPECT_EQ(in.Number<uint64_t>(), extent);
    EXPECT_EQ(in.Number<uint32_t>(), types[i]);
    offsets.push_back(in.Number<uint64_t>());
  }
  const size_t data = (in.at() + 31) / 32 * 32;
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(offsets[i] % 32, 0u);
    const auto bytes = file.bytes().subspan(data + offsets[i], tensors[i].tensor.bytes());
    EXPECT_EQ(std::memcmp(bytes.data(), tensors[i].tensor.raw(), bytes.size()), 0) << tensors[i].name;
  }
  EXPECT_EQ(file.bytes().size() % 32, 0u);
}

TEST(Writers, AGgufOfBytesIsRefused) {
  EXPECT_TRUE(Refuses(
      [&] {
        WriteGguf(Temporary("u8.gguf"), {}, ContentsOf({{"w", Counting({2}, DType::kU8)}}));
      },
      "GGUF has no type for the tensor w of u8"));
}

TEST(Writers, TokensAreSpelledAsPythonSpellsBytes) {
  EXPECT_EQ(EscapedToken("a\t\n\r\\\x7F\xC3\xBC"), R"(a\t\n\r\\\x7f\xc3\xbc)");
  EXPECT_EQ(EscapedToken("it's"), "it's");
  EXPECT_EQ(EscapedToken("\"it's\""), R"("it\'s")");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token = {'x', static_cast<char>(byte), '\'', '"'};
    EXPECT_EQ(UnescapedToken(EscapedToken(token), "test"), token);
  }
}

TEST(Writers, AGgufModelNeedsAKnownPlaceForEveryTensorAndAVocabulary) {
  const auto path = Temporary("refused.gguf");
  GgufModel model{"rwkv7", "test", {}, ContentsOf({{"odd", Counting({2}, DType::kF32)}})};
  EXPECT_TRUE(
      Refuses([&] { WriteGgufModel(path, model); }, "llama.cpp's rwkv7 has no place for the tensor odd"));
  model.published = ContentsOf({{"blocks.0.att.x_r", Counting({1, 1, 2}, DType::kF32)}});
  EXPECT_TRUE(Refuses([&] { WriteGgufModel(path, model); }, "lacks some of the 6 mixing vectors"));
  model.architecture = "rwkv5";
  EXPECT_TRUE(Refuses([&] { WriteGgufModel(path, model); }, "this model is rwkv5; write a .safetensors"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace linnet
