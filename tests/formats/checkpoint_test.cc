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

// The lengths of these headers begin like an old pickle and like JSON.
TEST(Checkpoint, ALengthIsNotTakenForAnotherFormat) {
  for (size_t length : {0x0280, 0x7B}) {
    const std::string header = "{}" + std::string(length - 2, ' ');
    EXPECT_EQ(Checkpoint::Open(InMemory(SafetensorsFile(header, "")))->format(), "safetensors");
  }
}

TEST(Checkpoint, RefusesWhatIsNoModel) {
  for (const std::string& text : {"x"s,
                                  "\x7F"
                                  "ELF"s,
                                  std::string(100, '\0'), "\x80\x02}."s}) {
    EXPECT_TRUE(Refuses(
        Opening(text), "test-file: is not a model file that linnet knows: it opens safetensors, .pth, GGUF"));
  }
  EXPECT_TRUE(Refuses(Opening("{\"json\": 1}"), "test-file: is JSON, but not the index of a model's files"));
}

TEST(Checkpoint, RefusesEmptyAndMissingFiles) {
  const auto path = std::filesystem::path(testing::TempDir()) / "empty.pth";
  WriteFile(path, "");
  EXPECT_TRUE(Refuses([&] { Checkpoint::Open(path); }, "empty.pth: the file is empty"));
  EXPECT_TRUE(Refuses([&] { Checkpoint::Open(path / "nowhere"); }, "nowhere: cannot be opened"));
  const auto folder = path.parent_path() / "no-model";
  std::filesystem::create_directory(folder);
  EXPECT_TRUE(
      Refuses([&] { Checkpoint::Open(folder); }, "no-model: is a folder without a model.safetensors"));
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
