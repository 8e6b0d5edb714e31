// Files that torch wrote, against the values that they were written from (shared/golden, section A0 and A).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "formats/checkpoint.h"
#include "golden/golden.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// Which truth a file is held against.
std::string TruthOf(const std::string& stem) {
  if (stem == "bf16" || stem.starts_with("fp16")) return "truth_" + stem.substr(0, 4);
  if (stem == "mixed_dtypes") return "truth_mixed";
  if (stem == "module_state_dict_with_metadata") return "truth_module";
  return "truth";
}

void ExpectSame(const Tensor& actual, const Tensor& expected, const std::string& name) {
  ASSERT_EQ(actual.dtype(), expected.dtype()) << name;
  ASSERT_EQ(actual.shape(), expected.shape()) << name;
  EXPECT_EQ(std::memcmp(actual.raw(), expected.raw(), expected.bytes()), 0) << name;
}

TEST(GoldenFormats, EveryContainerHoldsTheTruth) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  size_t files = 0;
  for (const auto& file : fs::directory_iterator(golden::Folder() / "A0_pth_formats")) {
    if (file.path().extension() != ".pth") continue;
    const std::string stem = file.path().stem();
    SCOPED_TRACE(stem);
    ++files;
    const auto truth = Checkpoint::Open(file.path().parent_path() / (TruthOf(stem) + ".safetensors"));
    const auto checkpoint = Checkpoint::Open(file.path());
    EXPECT_EQ(checkpoint->format(), "pth");
    EXPECT_EQ(checkpoint->entries().size(), truth->entries().size());
    for (const auto& entry : truth->entries()) {
      const bool tied = stem == "tied_emb_head" && entry.name == "head.weight";
      ASSERT_NE(checkpoint->Find(entry.name), nullptr) << entry.name;
      ExpectSame(checkpoint->Load(entry.name), truth->Load(tied ? "emb.weight" : entry.name), entry.name);
    }
  }
  EXPECT_GE(files, 13u);
}

TEST(GoldenFormats, EveryCheckpointOpensAndLoads) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  size_t files = 0;
  for (const auto& file : fs::recursive_directory_iterator(golden::Folder())) {
    const std::string name = file.path().filename();
    if (!name.ends_with(".safetensors") && !name.ends_with(".pth")) continue;
    SCOPED_TRACE(file.path().string());
    const auto checkpoint = Checkpoint::Open(file.path());
    EXPECT_FALSE(checkpoint->entries().empty());
    for (const auto& entry : checkpoint->entries()) {
      EXPECT_EQ(checkpoint->Load(entry.name).shape(), entry.shape) << entry.name;
    }
    ++files;
  }
  EXPECT_GE(files, 42u);
}

// The same weights in both formats.
TEST(GoldenFormats, SafetensorsAndPthAgree) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  size_t pairs = 0;
  for (const auto& file : fs::recursive_directory_iterator(golden::Folder() / "A_inference")) {
    fs::path twin = file.path();
    twin.replace_extension(".safetensors");
    if (file.path().extension() != ".pth" || !fs::exists(twin)) continue;
    SCOPED_TRACE(file.path().string());
    const auto pth = Checkpoint::Open(file.path()), safetensors = Checkpoint::Open(twin);
    EXPECT_EQ(pth->entries().size(), safetensors->entries().size());
    for (const auto& entry : pth->entries()) {
      ASSERT_NE(safetensors->Find(entry.name), nullptr) << entry.name;
      ExpectSame(pth->Load(entry.name), safetensors->Load(entry.name), entry.name);
    }
    ++pairs;
  }
  EXPECT_GE(pairs, 2u);
}

}  // namespace
}  // namespace linnet
