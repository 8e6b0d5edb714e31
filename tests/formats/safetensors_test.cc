#include "formats/safetensors.h"

#include "formats/pth_builder.h"
#include "formats/refusal.h"
#include "formats/tensors.h"

namespace linnet {
namespace {

std::unique_ptr<Checkpoint> Parse(const std::string& header, const std::string& data) {
  return OpenSafetensors(InMemory(SafetensorsFile(header, data)));
}

std::string Entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets +
         "}";
}

TEST(Safetensors, RoundTripOfEveryType) {
  const std::vector<NamedTensor> tensors = {
      {"f32", Counting({2, 3}, DType::kF32)},
      {"f64", Counting({3}, DType::kF64)},
      {"bf16", Counting({2, 2}, DType::kBf16)},
      {"f16", Counting({1, 2, 1, 2}, DType::kF16)},
      {"i64", Counting({}, DType::kI64)},
      {"i32", Counting({2}, DType::kI32)},
      {"u8", Counting({3}, DType::kU8)},
      {"empty", Counting({0, 5}, DType::kF32)},
      {"name \"with\" \\ \n ö", Counting({4}, DType::kF32)},
  };
  const std::map<std::string, std::string> metadata = {{"format", "pt"}, {"quote \"", "line\n"}};
  const auto path = Temporary("every_type.safetensors");
  WriteSafetensors(path, tensors, metadata);
  const auto checkpoint = Checkpoint::Open(path);
  ASSERT_EQ(checkpoint->entries().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& entry = checkpoint->entries()[i];
    EXPECT_EQ(entry.name, tensors[i].name);
    EXPECT_EQ(entry.dtype, tensors[i].tensor.dtype());
    EXPECT_TRUE(SameBytes(checkpoint->Load(entry.name), tensors[i].tensor)) << entry.name;
  }
  EXPECT_EQ(checkpoint->metadata(), metadata);
}

TEST(Safetensors, RoundTripOfNothing) {
  const auto path = Temporary("nothing.safetensors");
  WriteSafetensors(path, {}, {});
  EXPECT_TRUE(Checkpoint::Open(path)->entries().empty());
}

TEST(Safetensors, DataStartsOnAMultipleOf64AndIsMappedInPlace) {
  const auto path = Temporary("aligned.safetensors");
  WriteSafetensors(path, {{"a", Counting({3}, DType::kF32)}, {"b", Counting({5}, DType::kBf16)}}, {});
  const MappedFile file(path);
  const auto checkpoint = OpenSafetensors(file);
  const auto* a = static_cast<const std::byte*>(checkpoint->Load("a").raw());
  EXPECT_EQ((a - file.bytes().data()) % 64, 0);
  EXPECT_EQ(static_cast<const std::byte*>(checkpoint->Load("b").raw()), a + 12);
}

TEST(Safetensors, AMisalignedTensorIsCopied) {
  const std::string header =
      "{" + Entry("a", "U8", "[1]", "[0,1]") + "," + Entry("b", "F32", "[1]", "[1,5]") + "}";
  const MappedFile file = InMemory(SafetensorsFile(header, "x" + Bytes(1.5f)));
  const Tensor b = OpenSafetensors(file)->Load("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.raw()) % alignof(float), 0u);
  EXPECT_EQ(*b.data<float>(), 1.5f);
}

TEST(Safetensors, ATensorOutlivesItsCheckpoint) {
  const Tensor tensor = Parse("{" + Entry("a", "U8", "[3]", "[0,3]") + "}", "abc")->Load("a");
  EXPECT_EQ(std::memcmp(tensor.raw(), "abc", 3), 0);
}

TEST(Safetensors, EntriesKeepTheHeadersOrderWhateverTheDatas) {
  const auto checkpoint =
      Parse("{" + Entry("z", "U8", "[1]", "[1,2]") + "," + Entry("a", "U8", "[1]", "[0,1]") + "}  ", "xy");
  EXPECT_EQ(checkpoint->entries()[0].name, "z");
  EXPECT_EQ(*checkpoint->Load("z").data<uint8_t>(), 'y');
}

TEST(Safetensors, RefusesBrokenHeaders) {
  const struct {
    std::string header, message;
  } cases[] = {
      {"{\"a\":", "test-file: the header is not valid JSON at its byte"},
      {"{} x", "the header is not valid JSON"},
      {"[]", "has a list where none belongs"},
      {"3", "has a number where none belongs"},
      {R"({"a":null})", "has null where none belongs, in the entry 'a'"},
      {R"({"a":true})", "has a boolean where none belongs"},
      {R"({"a":"x"})", "has a string where none belongs"},
      {R"({"a":[1]})", "has a list where none belongs"},
      {R"({"a":{"dtype":{"x":1}}})", "has an object where none belongs"},
      {R"({"a":{"dtype":["U8"]}})", "has a list where none belongs"},
      {R"({"a":{"shape":[[1]]}})", "has a list where none belongs"},
      {R"({"a":{"shape":3}})", "has a number where none belongs"},
      {R"({"a":{"shape":["3"]}})", "has a string where none belongs"},
      {R"({"a":{"shape":[-1]}})", "has a negative number where none belongs"},
      {R"({"a":{"shape":[1.5]}})", "has the number 1.5 where none belongs"},
      {R"({"a":{"shape":[99999999999999999999]}})", "has the number 99999999999999999999 where none belongs"},
      {R"({"a":{"color":"red"}})", "the tensor a has an unknown field color"},
      {R"({"a":{"dtype":"U8","dtype":"F32"}})", "the entry a has the field dtype twice"},
      {R"({"a":{"dtype":"U8","shape":[4]}})", "the tensor a lacks its dtype, shape or data_offsets"},
      {R"({"__metadata__":{"a":1}})",
       "has a number where none belongs, in the entry '__metadata__', field 'a'"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", "the entry __metadata__ has the field a twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", "holds the tensor __metadata__ twice"},
      {std::string(100000, '{'), "the header is not valid JSON"},
      {"{\"a\":" + std::string(100000, '['), "has a list where none belongs"},
      {std::string("{\"\xFF\":{}}"), "the header is not valid JSON"},
  };
  for (const auto& [header, message] : cases) {
    EXPECT_TRUE(Refuses([&, h = header] { Parse(h, "data"); }, message)) << header.substr(0, 100);
  }
}

TEST(Safetensors, RefusesBrokenTensors) {
  const struct {
    std::string entry, message;
  } cases[] = {
      {Entry("a", "I4", "[4]", "[0,4]"), "the tensor a has the dtype I4, which linnet does not know"},
      {Entry("a", "U8", "[1,1,1,1,4]", "[0,4]"), "the tensor a has more than four extents"},
      {Entry("a", "U8", "[4]", "[0,1,2,3,4]"), "the tensor a has more than four data_offsets"},
      {Entry("a", "U8", "[4]", "[4]"), "the tensor a has 1 data_offsets instead of 2"},
      {Entry("a", "U8", "[4]", "[4,0]"), "the tensor a ends before it begins"},
      {Entry("a", "U8", "[5]", "[0,5]"), "is cut short: the tensor a ends at byte 5 of 4"},
      {Entry("a", "U8", "[3]", "[0,4]"), "the tensor a of shape [3] needs 3 bytes, its data_offsets span 4"},
      {Entry("a", "F32", "[4]", "[0,4]"), "needs 16 bytes"},
      {Entry("a", "U8", "[0]", "[0,4]"), "needs 0 bytes"},
      {Entry("a", "U8", "[4294967296,4294967296]", "[0,4]"),
       "the tensor a has more elements than any memory"},
      {Entry("a", "U8", "[4294967296,4294967296,0]", "[0,0]"),
       "the tensor a has more elements than any memory"},
      {Entry("a", "U8", "[18446744073709551615]", "[0,4]"), "the tensor a has more elements than any memory"},
      {Entry("a", "F64", "[2305843009213693952]", "[0,0]"), "the tensor a has more elements than any memory"},
      {Entry("a", "U8", "[4]", "[0,4]") + "," + Entry("a", "U8", "[0]", "[4,4]"), "holds the tensor a twice"},
      {Entry("a", "U8", "[3]", "[0,3]") + "," + Entry("b", "U8", "[2]", "[2,4]"),
       "the tensor b overlaps another"},
      {Entry("a", "U8", "[1]", "[0,1]") + "," + Entry("b", "U8", "[2]", "[2,4]"),
       "1 stray bytes before the tensor b"},
      {Entry("a", "U8", "[2]", "[0,2]"), "2 stray bytes after the last tensor"},
      {"", "4 stray bytes after the last tensor"},
  };
  for (const auto& [entry, message] : cases) {
    EXPECT_TRUE(Refuses([&, e = entry] { Parse("{" + e + "}", "data"); }, message)) << entry;
  }
}

TEST(Safetensors, RefusesAHeaderThatIsNotThere) {
  const auto opening = [](const std::string& text) { return [=] { OpenSafetensors(InMemory(text)); }; };
  EXPECT_TRUE(Refuses(opening("1234567"), "test-file: is cut short"));
  EXPECT_TRUE(
      Refuses(opening(Bytes<uint64_t>(3) + "{}"), "test-file: is cut short: needs 3 bytes at 8 of 10"));
  EXPECT_TRUE(Refuses(opening(Bytes<uint64_t>(100'000'001) + "{}"), "more than the format allows"));
  EXPECT_TRUE(Refuses(opening(Bytes<uint64_t>(UINT64_MAX) + "{}"), "more than the format allows"));
  EXPECT_TRUE(Refuses(opening(Bytes<uint64_t>(0)), "the header is not valid JSON"));
}

TEST(Safetensors, RefusesToWriteWhatItCouldNotRead) {
  const auto path = Temporary("unwritten.safetensors");
  const Tensor tensor = Counting({1}, DType::kU8);
  const auto writing = [&](std::vector<NamedTensor> tensors,
                           std::map<std::string, std::string> metadata = {}) {
    return [=] { WriteSafetensors(path, tensors, metadata); };
  };
  EXPECT_TRUE(Refuses(writing({{"a", tensor}, {"a", tensor}}), "cannot be written: the name a is taken"));
  EXPECT_TRUE(Refuses(writing({{"__metadata__", tensor}}), "the name __metadata__ is taken"));
  EXPECT_TRUE(Refuses(writing({{"a", Tensor()}}), "the tensor a is null"));
  EXPECT_TRUE(Refuses(writing({{"\xFF", tensor}}), "is not UTF-8"));
  EXPECT_TRUE(Refuses(writing({}, {{"a", "\xFF"}}), "is not UTF-8"));
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(Refuses([&] { WriteSafetensors(Temporary("no/such/folder"), {}, {}); }, "cannot be written"));
}

TEST(Safetensors, WritingReplacesAFileWhole) {
  const auto path = Temporary("replaced.safetensors");
  WriteFile(path, "something else");
  WriteSafetensors(path, {{"a", Counting({2}, DType::kU8)}}, {});
  EXPECT_EQ(Checkpoint::Open(path)->entries().size(), 1u);
}

}  // namespace
}  // namespace linnet
