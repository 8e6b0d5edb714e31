#include "serve/snapshot_bytes.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "fuzz/snapshot_entries.h"
#include "serve/stored_states.h"

namespace linnet {
namespace {

std::string Refusal(const std::string& bytes, const std::string& model = kModel) {
  try {
    UnpackSnapshot(bytes, model, "state");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(SnapshotBytesTest, PackAndUnpack) {
  const Snapshot none{};
  const Snapshot holes{{Tensor(), Filled({1, 2, 3, 4}, 5), Tensor()}, Tensor(), 12};
  for (const Snapshot& snapshot : {none, holes, SnapshotOf(3)}) {
    const std::string bytes = PackSnapshot(snapshot, kModel);
    EXPECT_TRUE(Same(UnpackSnapshot(bytes, kModel, "state"), snapshot));
  }
  EXPECT_EQ(SnapshotBytes(holes), 24 * 4);
}

TEST(SnapshotBytesTest, EveryChangedOrMissingByteIsFound) {
  const std::string bytes = PackSnapshot(SnapshotOf(3, 2), kModel);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << i % 8));
    EXPECT_NE(Refusal(changed), "") << "byte " << i;
    EXPECT_NE(Refusal(bytes.substr(0, i)), "") << i << " bytes";
  }
  EXPECT_NE(Refusal(bytes + '\0'), "");
}

TEST(SnapshotBytesTest, SaysWhatIsWrong) {
  const std::string bytes = PackSnapshot(SnapshotOf(3, 2), kModel);
  EXPECT_EQ(Refusal("This is a text, which is about as long as the header of a state."),
            "state: is no stored state");
  EXPECT_EQ(Refusal(bytes, "fedcba9876543210"), "state: is a state of another model");
  std::string later = bytes;
  later[8] = 2;
  EXPECT_EQ(Refusal(later), "state: is of version 2, this program reads 1");
  later = bytes;
  later.back() ^= 1;
  EXPECT_EQ(Refusal(later), "state: is damaged: its checksum is not that of what it holds");
}

/// Every seed, and every input that a fuzzer once broke the reader with.
TEST(SnapshotBytesTest, Corpus) {
  int files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(LINNET_SOURCE_DIR "/tests/fuzz/corpus/snapshot")) {
    SCOPED_TRACE(file.path().string());
    const std::string bytes = ReadFile(file.path());
    EXPECT_NO_THROW(FuzzSnapshot(std::as_bytes(std::span(bytes))));
    ++files;
  }
  EXPECT_GT(files, 8);
}

}  // namespace
}  // namespace linnet
