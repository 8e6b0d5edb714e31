#include "formats/checkpoint.h"

#include "formats/pth_builder.h"
#include "formats/refusal.h"
#include "formats/safetensors.h"

namespace linnet {
namespace {

using std::string_literals::operator""s;

auto Opening(const std::string& text) {
  return [=] { Checkpoint::Open(InMemory(text)); };
}

TEST(Checkpoint, SniffsTheFormat) {
  EXPECT_EQ(Checkpoint::Open(InMemory(SafetensorsFile("{}", "")))->format(), "safetensors");
  const std::string tensor = pkl::Tensor(pkl::Storage("FloatStorage", "0", 1), 0, {1}, {1});
  EXPECT_EQ(Checkpoint::Open(InMemory(Pth(pkl::Dict({{"a", tensor}}), {{"0", "1234"}})))->format(), "pth");
}

// The length of this header begins like an old pickle.
TEST(Checkpoint, ALengthIsNotTakenForAPickle) {
  const auto checkpoint =
      Checkpoint::Open(InMemory(SafetensorsFile("{}" + std::string(0x0280 - 2, ' '), "")));
  EXPECT_EQ(checkpoint->format(), "safetensors");
}

TEST(Checkpoint, RefusesOtherFormatsByName) {
  const std::string old_pickle = "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19.\x80\x02";
  EXPECT_TRUE(Refuses(Opening(old_pickle), "test-file: is an old .pth, as torch wrote before version 1.6"));
  EXPECT_TRUE(
      Refuses(Opening(old_pickle), "this version opens safetensors and zip .pth; load it in a newer torch"));
  EXPECT_TRUE(
      Refuses(Opening("GGUF\3\0\0\0"s), "is a GGUF file: this version opens safetensors and zip .pth"));
  EXPECT_TRUE(Refuses(Opening(Bytes<uint32_t>(0x67676D66) + "more"), "is an rwkv.cpp ggml file"));
}

TEST(Checkpoint, RefusesWhatIsNoModel) {
  for (const std::string& text : {"x"s,
                                  "\x7F"
                                  "ELF"s,
                                  std::string(100, '\0'), "{\"json\": 1}"s, "\x80\x02}."s}) {
    EXPECT_TRUE(Refuses(Opening(text), "test-file: is not a model file that linnet knows"));
  }
}

TEST(Checkpoint, RefusesEmptyAndMissingFiles) {
  const auto path = std::filesystem::path(testing::TempDir()) / "empty.pth";
  WriteFile(path, "");
  EXPECT_TRUE(Refuses([&] { Checkpoint::Open(path); }, "empty.pth: the file is empty"));
  EXPECT_TRUE(Refuses([&] { Checkpoint::Open(path / "nowhere"); }, "nowhere: cannot be opened"));
  EXPECT_TRUE(Refuses([&] { Checkpoint::Open(path.parent_path()); }, "is a folder"));
}

TEST(Checkpoint, FindsEntriesByName) {
  const auto checkpoint = Checkpoint::Open(
      InMemory(SafetensorsFile(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", "xy")));
  ASSERT_NE(checkpoint->Find("a"), nullptr);
  EXPECT_EQ(checkpoint->Find("a")->shape, Shape({2}));
  EXPECT_EQ(checkpoint->Find("b"), nullptr);
  EXPECT_EQ(checkpoint->path(), "test-file");
  EXPECT_TRUE(Refuses([&] { checkpoint->Load("b"); }, "test-file: holds no tensor called b"));
}

}  // namespace
}  // namespace linnet
