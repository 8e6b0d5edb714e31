#include "formats/gguf.h"

#include "formats/ggml_builder.h"
#include "formats/refusal.h"
#include "formats/values.h"

namespace linnet {
namespace {

using Floats = std::vector<float>;

auto Opening(const GgufWriter& writer) {
  return [text = writer.Finish()] { OpenGguf(InMemory(text)); };
}

GgufWriter Small() { return GgufWriter().Floats("a", {3, 2}, {0, 1, 2, 3, 4, 5}); }

TEST(Gguf, TensorsLieInTheFile) {
  for (uint32_t version : {2, 3}) {
    const auto file = InMemory(GgufWriter(version)
                                   .Floats("a", {3, 2}, {0, 1, 2, 3, 4, 5})
                                   .Tensor("half", {2}, 1, Values<uint16_t>({0x3C00, 0xC000}))
                                   .Tensor("brain", {1, 1, 1, 2}, 30, Values<uint16_t>({0x3F80, 0xC000}))
                                   .Finish());
    const auto checkpoint = OpenGguf(file);
    EXPECT_EQ(checkpoint->format(), "gguf");
    EXPECT_EQ(NamesOf(*checkpoint), (std::vector<std::string>{"a", "half", "brain"}));
    EXPECT_EQ(checkpoint->Find("a")->shape, Shape({2, 3}));  // the fastest extent comes last in linnet
    EXPECT_EQ(ValuesOf(*checkpoint, "a"), (Floats{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(ValuesOf(*checkpoint, "half"), (Floats{1, -2}));
    EXPECT_EQ(ValuesOf(*checkpoint, "brain"), (Floats{1, -2}));
    const auto* raw = static_cast<const std::byte*>(checkpoint->Load("a").raw());
    EXPECT_TRUE(raw > file.bytes().data() && raw < file.bytes().data() + file.bytes().size());
  }
}

TEST(Gguf, BlockTypes) {
  const std::tuple<uint32_t, DType, uint64_t, size_t> types[] = {
      {2, DType::kQ4_0, 32, 18},    {3, DType::kQ4_1, 32, 20},   {6, DType::kQ5_0, 32, 22},
      {7, DType::kQ5_1, 32, 24},    {8, DType::kQ8_0, 32, 34},   {12, DType::kQ4_K, 256, 144},
      {13, DType::kQ5_K, 256, 176}, {14, DType::kQ6_K, 256, 210}};
  for (const auto& [number, dtype, values, bytes] : types) {
    std::string data;
    for (size_t i = 0; i < 4 * bytes; ++i) data += static_cast<char>(i);
    const auto checkpoint =
        OpenGguf(InMemory(GgufWriter().Tensor("w", {2 * values, 2}, number, data).Finish()));
    EXPECT_EQ(checkpoint->Find("w")->dtype, dtype);
    EXPECT_EQ(checkpoint->Find("w")->shape, Shape({2, static_cast<Dim>(2 * values)}));
    const Tensor w = checkpoint->Load("w");
    EXPECT_EQ(std::string(static_cast<const char*>(w.raw()), w.bytes()), data);
    EXPECT_TRUE(Refuses(Opening(GgufWriter().Tensor("w", {values + 1}, number, data)),
                        "test-file: the tensor w has rows of"));
  }
}

TEST(Gguf, SingleValuesBecomeMetadata) {
  const auto checkpoint =
      OpenGguf(InMemory(Small()
                            .Value("u8", 0, Bytes<uint8_t>(200))
                            .Value("i8", 1, Bytes<int8_t>(-3))
                            .Value("u16", 2, Bytes<uint16_t>(65535))
                            .Value("i16", 3, Bytes<int16_t>(-300))
                            .Value("u32", 7)
                            .Value("i32", 5, Bytes<int32_t>(-70000))
                            .Value("f32", 6, Bytes<float>(0.5f))
                            .Value("bool", 7, Bytes<uint8_t>(1))
                            .Value("text", "hello")
                            .Value("u64", 10, Bytes<uint64_t>(UINT64_MAX))
                            .Value("i64", 11, Bytes<int64_t>(INT64_MIN))
                            .Value("f64", 12, Bytes<double>(1e-5))
                            .Value("array", std::vector<int32_t>{1, 2})
                            .Value("texts", std::vector<std::string>{"x"})
                            .Value("bytes", 9, Bytes<uint32_t>(0) + Bytes<uint64_t>(3) + "abc")
                            .Finish()));
  EXPECT_EQ(checkpoint->metadata(), (std::map<std::string, std::string>{{"u8", "200"},
                                                                        {"i8", "-3"},
                                                                        {"u16", "65535"},
                                                                        {"i16", "-300"},
                                                                        {"u32", "7"},
                                                                        {"i32", "-70000"},
                                                                        {"f32", "0.5"},
                                                                        {"bool", "true"},
                                                                        {"text", "hello"},
                                                                        {"u64", "18446744073709551615"},
                                                                        {"i64", "-9223372036854775808"},
                                                                        {"f64", "1e-05"}}));
}

TEST(Gguf, TheVocabularyOfTheWorldTokenizer) {
  const std::vector<std::string> tokens = {"<s>",   "\\x00", "'",          "\\n\\t\\r",
                                           "\\\\x", "\\'\"", "\\xe4\\xBD", "[PAD1]"};
  auto writer = Small()
                    .Value("tokenizer.ggml.model", "rwkv")
                    .Value("tokenizer.ggml.tokens", tokens)
                    .Value("tokenizer.ggml.token_type", std::vector<int32_t>{3, 1, 1, 1, 1, 1, 1, 5});
  EXPECT_EQ(
      OpenGguf(InMemory(writer.Finish()))->vocabulary(),
      (std::vector<std::string>{"", std::string(1, '\0'), "'", "\n\t\r", "\\x", "'\"", "\xE4\xBD", ""}));
  writer = Small().Value("tokenizer.ggml.model", "gpt2").Value("tokenizer.ggml.tokens", tokens);
  const auto bpe = OpenGguf(InMemory(writer.Finish()));
  EXPECT_TRUE(bpe->vocabulary().empty());
  EXPECT_EQ(bpe->metadata().at("tokenizer.ggml.model"), "gpt2");
  writer = Small()
               .Value("tokenizer.ggml.model", "rwkv")
               .Value("tokenizer.ggml.tokens", tokens)
               .Value("tokenizer.ggml.token_type", std::vector<int32_t>{3, 1});
  EXPECT_TRUE(Refuses(Opening(writer), "test-file: has 8 tokens, but 2 types of tokens"));
}

TEST(Gguf, RefusesHalfEscapes) {
  for (const char* text : {"a\\", "\\x", "\\x4", "\\x4g", "\\xg4"}) {
    EXPECT_TRUE(Refuses([&] { UnescapedToken(text, "here"); }, "here: a token of the vocabulary")) << text;
  }
  EXPECT_EQ(UnescapedToken("\\x41", ""), "A");
}

TEST(Gguf, RefusesOtherVersions) {
  EXPECT_TRUE(Refuses(Opening(GgufWriter(1)), "test-file: is a GGUF file of version 1; linnet reads"));
  EXPECT_TRUE(Refuses(Opening(GgufWriter(4)), "test-file: is a GGUF file of version 4"));
  EXPECT_TRUE(Refuses(Opening(GgufWriter(0x03000000)), "test-file: is a big-endian GGUF file"));
  EXPECT_TRUE(Refuses(Opening(Small().Value("split.count", 2, Bytes<uint16_t>(3))),
                      "test-file: is one of 3 parts; put them together with"));
}

TEST(Gguf, RefusesTypesItDoesNotHave) {
  EXPECT_TRUE(Refuses(Opening(GgufWriter().Tensor("w", {256}, 23, std::string(136, 'x'))),
                      "test-file: the tensor w is of ggml's type IQ4_XS; linnet has F32"));
  EXPECT_TRUE(Refuses(Opening(GgufWriter().Tensor("w", {4}, 77, "data")),
                      "the tensor w is of ggml's type number 77"));
}

TEST(Gguf, RefusesBrokenTensors) {
  const auto with = [](const Extents& extents, const std::string& data, int64_t offset = -1) {
    return Opening(GgufWriter().Tensor("w", extents, 0, data, offset));
  };
  EXPECT_TRUE(
      Refuses(with({3}, "12345678"), "test-file: is cut short: the tensor w should have 12 bytes at 0 of 8"));
  EXPECT_TRUE(Refuses(with({1}, "1234", 32), "the tensor w should have 4 bytes at 32 of 4"));
  EXPECT_TRUE(Refuses(with({1}, "1234", INT64_MAX), "test-file: is cut short: the tensor w"));
  EXPECT_TRUE(Refuses(with({1}, "12345678", 4), "the tensor w begins at 4, no multiple of 32"));
  EXPECT_TRUE(Refuses(with({0}, ""), "the tensor w has an extent of 0"));
  EXPECT_TRUE(Refuses(with({}, ""), "the tensor w has 0 extents"));
  EXPECT_TRUE(Refuses(with({1, 1, 1, 1, 1}, "1234"), "the tensor w has 5 extents"));
  EXPECT_TRUE(Refuses(with({UINT64_MAX}, "1234"), "the tensor w has more values than any memory"));
  EXPECT_TRUE(
      Refuses(with({1u << 31, 1u << 31, 1u << 31}, "1234"), "the tensor w has more values than any memory"));
  EXPECT_TRUE(Refuses(Opening(GgufWriter().Floats("w", {1}, {1}).Floats("w", {1}, {2})),
                      "test-file: holds the tensor w twice"));
  EXPECT_TRUE(Refuses(
      Opening(GgufWriter().Tensor("v", {16}, 0, std::string(64, 'x')).Tensor("w", {1}, 0, "1234", 32)),
      "test-file: the tensors v and w overlap"));
  EXPECT_TRUE(Refuses(Opening(GgufWriter().Value("k", 1u)), "test-file: holds no tensors"));
}

TEST(Gguf, RefusesBrokenValues) {
  EXPECT_TRUE(Refuses(Opening(Small().Value("k", 1u).Value("k", 2u)), "test-file: has the value k twice"));
  EXPECT_TRUE(Refuses(Opening(Small().Value("k", 13, "")), "test-file: has a value of the unknown type 13"));
  const auto array = [](uint32_t type, uint64_t count) {
    return Opening(Small().Value("k", 9, Bytes(type) + Bytes(count)));
  };
  EXPECT_TRUE(Refuses(array(9, 1), "has an array of values of the type 9"));  // of arrays
  EXPECT_TRUE(Refuses(array(99, 1), "has an array of values of the type 99"));
  EXPECT_TRUE(Refuses(array(0, UINT64_MAX), "test-file: is cut short: an array"));
  EXPECT_TRUE(Refuses(array(8, UINT64_MAX / 8), "test-file: is cut short: an array"));
  EXPECT_TRUE(
      Refuses(Opening(Small().Value("k", 8, Bytes<uint64_t>(UINT64_MAX))), "test-file: is cut short"));
  EXPECT_TRUE(Refuses(Opening(Small().Value("general.alignment", 24u)),
                      "test-file: general.alignment is 24; a power of two"));
  EXPECT_TRUE(Refuses(Opening(Small().Value("general.alignment", 0u)), "general.alignment is 0"));
}

TEST(Gguf, RefusesHugeCounts) {
  const std::string head = "GGUF" + Bytes<uint32_t>(3);
  EXPECT_TRUE(
      Refuses([&] { OpenGguf(InMemory(head + Bytes(UINT64_MAX) + Bytes<uint64_t>(0))); }, "is cut short"));
  EXPECT_TRUE(
      Refuses([&] { OpenGguf(InMemory(head + Bytes<uint64_t>(1) + Bytes(UINT64_MAX))); }, "is cut short"));
  EXPECT_TRUE(Refuses([&] { OpenGguf(InMemory(head)); }, "is cut short"));
}

}  // namespace
}  // namespace linnet
