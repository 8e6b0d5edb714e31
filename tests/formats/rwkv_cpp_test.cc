#include "formats/rwkv_cpp.h"

#include "formats/ggml_builder.h"
#include "formats/refusal.h"
#include "formats/values.h"

namespace linnet {
namespace {

auto Opening(const RwkvCppWriter& writer) {
  return [text = writer.Finish()] { OpenRwkvCpp(InMemory(text)); };
}

/// Vocabulary 2, width 3, one layer.
RwkvCppWriter Small(uint32_t version = 101) {
  return RwkvCppWriter(version, 2, 3, 1)
      .Floats("emb.weight", {3, 2}, {0, 1, 2, 3, 4, 5})
      .Floats("blocks.0.ln1.weight", {3}, {6, 7, 8});
}

TEST(RwkvCpp, TensorsOfBothVersions) {
  for (uint32_t version : {100, 101}) {
    const auto checkpoint = OpenRwkvCpp(
        InMemory(Small(version).Tensor("h", {1, 2}, 1, Values<uint16_t>({0x3C00, 0xC000})).Finish()));
    EXPECT_EQ(checkpoint->format(), "rwkv.cpp");
    EXPECT_EQ(checkpoint->metadata().at("rwkv.cpp.type"), "FP32");
    EXPECT_EQ(NamesOf(*checkpoint), (std::vector<std::string>{"emb.weight", "blocks.0.ln1.weight", "h"}));
    EXPECT_EQ(checkpoint->Find("emb.weight")->shape, Shape({2, 3}));
    EXPECT_EQ(ValuesOf(*checkpoint, "emb.weight"), (std::vector<float>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(ValuesOf(*checkpoint, "blocks.0.ln1.weight"), (std::vector<float>{6, 7, 8}));
    EXPECT_EQ(checkpoint->Find("h")->shape, Shape({2, 1}));
    EXPECT_EQ(ValuesOf(*checkpoint, "h"), (std::vector<float>{1, -2}));
  }
}

TEST(RwkvCpp, BlockTypes) {
  const std::tuple<uint32_t, DType, size_t> types[] = {{2, DType::kQ4_0, 18},
                                                       {3, DType::kQ4_1, 20},
                                                       {7, DType::kQ5_0, 22},
                                                       {8, DType::kQ5_1, 24},
                                                       {9, DType::kQ8_0, 34}};
  for (const auto& [number, dtype, bytes] : types) {
    const std::string data(2 * bytes, 'q');
    const auto checkpoint = OpenRwkvCpp(InMemory(Small().Tensor("w", {32, 2}, number, data).Finish()));
    EXPECT_EQ(checkpoint->Find("w")->dtype, dtype);
    const Tensor w = checkpoint->Load("w");
    EXPECT_EQ(std::string(static_cast<const char*>(w.raw()), w.bytes()), data);
    EXPECT_TRUE(Refuses(Opening(Small().Tensor("w", {31, 2}, number, data)),
                        "test-file: the tensor w has rows of 31 values"));
    // The blocks of version 100 were others.
    EXPECT_TRUE(
        Refuses(Opening(Small(100).Tensor("w", {32, 2}, number, data)), "which rwkv.cpp reads no more"));
  }
}

TEST(RwkvCpp, RefusesWhatRwkvCppRefuses) {
  EXPECT_TRUE(Refuses(Opening(Small(102)), "test-file: is an rwkv.cpp file of version 102"));
  EXPECT_TRUE(Refuses(Opening(Small().Tensor("w", {32}, 5, "")),
                      "test-file: the tensor w: is of the type Q4_2, which rwkv.cpp itself has given up"));
  EXPECT_TRUE(Refuses(Opening(Small().Tensor("w", {32}, 99, "")), "the tensor w: is of the unknown type 99"));
  EXPECT_TRUE(
      Refuses(Opening(RwkvCppWriter(100, 2, 3, 1, 7)), "test-file: has Q5_0 as it was before May 2023"));
}

TEST(RwkvCpp, RefusesBrokenFiles) {
  const std::string sound = Small().Finish();
  for (size_t bytes : {4u, 23u, 30u, 40u, 60u}) {
    EXPECT_TRUE(Refuses([&] { OpenRwkvCpp(InMemory(sound.substr(0, bytes))); }, "test-file: is cut short"));
  }
  EXPECT_TRUE(Refuses(Opening(Small().Tensor("w", {UINT32_MAX, UINT32_MAX, UINT32_MAX}, 0, "")),
                      "the tensor w has more values than any memory"));
  EXPECT_TRUE(
      Refuses(Opening(Small().Tensor("w", {UINT32_MAX, 4}, 0, "1234")), "test-file: is cut short: needs"));
  EXPECT_TRUE(Refuses(Opening(Small().Tensor("w", {0}, 0, "")), "the tensor w has an extent of 0"));
  EXPECT_TRUE(Refuses(Opening(Small().Tensor("w", {1, 1, 1, 1}, 0, "1234")), "has 4 extents; one to three"));
  EXPECT_TRUE(
      Refuses(Opening(Small().Tensor(std::string(300, 'w'), {1}, 0, "1234")), "has a name of 300 bytes"));
  EXPECT_TRUE(Refuses(Opening(Small().Floats("emb.weight", {1}, {1})), "holds the tensor emb.weight twice"));
}

TEST(RwkvCpp, RefusesAHeadThatDoesNotFit) {
  EXPECT_TRUE(Refuses(Opening(RwkvCppWriter(101, 2, 3, 1)), "test-file: the tensor emb.weight is missing"));
  EXPECT_TRUE(Refuses(Opening(RwkvCppWriter(101, 3, 2, 1).Floats("emb.weight", {3, 2}, {0, 1, 2, 3, 4, 5})),
                      "emb.weight must be [3, 2], as the file's head says, but is [2, 3]"));
  for (uint32_t layers : {0u, 2u, UINT32_MAX}) {
    RwkvCppWriter writer(101, 1, 1, layers);
    writer.Floats("emb.weight", {1, 1}, {0}).Floats("blocks.0.ln1.weight", {1}, {0});
    EXPECT_TRUE(Refuses(Opening(writer), fmt::format("the file's head speaks of {} layers", layers)));
  }
}

}  // namespace
}  // namespace linnet
