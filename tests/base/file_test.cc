#include "base/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <span>
#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  Files() : folder_(fs::temp_directory_path() / ("linnet-files-" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~Files() override { fs::remove_all(folder_); }
  size_t Count() const { return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {})); }
  fs::path folder_;
};

TEST_F(Files, AWrittenFileReadsBack) {
  const std::string text("a\0b\n", 4);
  WriteFile(folder_ / "x", text);
  EXPECT_EQ(ReadFile(folder_ / "x"), text);
  const MappedFile mapped(folder_ / "x");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()), text);
  EXPECT_EQ(Count(), 1u) << "nothing is left beside it";
}

TEST_F(Files, WithoutCommitTheOldFileStays) {
  WriteFile(folder_ / "x", "old");
  {
    AtomicFile file(folder_ / "x");
    file.Write("new");
  }
  EXPECT_EQ(ReadFile(folder_ / "x"), "old");
  EXPECT_EQ(Count(), 1u);
}

TEST_F(Files, ErrorsNameTheFile) {
  std::ofstream(folder_ / "empty");
  const auto message = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_NE(message([&] { ReadFile(folder_ / "missing"); }).find("missing: cannot be opened"),
            std::string::npos);
  EXPECT_NE(message([&] { ReadFile(folder_); }).find("is a folder"), std::string::npos);
  EXPECT_NE(message([&] { MappedFile(folder_ / "empty"); }).find("empty: the file is empty"),
            std::string::npos);
  EXPECT_NE(message([&] { WriteFile(folder_ / "no" / "x", ""); }).find("cannot be written"),
            std::string::npos);
}

// What the hint does for memory is not promised; that nothing is lost by it is.
TEST_F(Files, ForgottenBytesReadTheSame) {
  std::string text(100'000, 'a');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i % 251);
  WriteFile(folder_ / "x", text);
  const std::vector<std::byte> copy(std::as_bytes(std::span(text)).begin(),
                                    std::as_bytes(std::span(text)).end());
  const MappedFile mapped(folder_ / "x");
  const MappedFile in_memory("x", std::shared_ptr<const void>(copy.data(), [](const void*) {}), copy);
  for (const MappedFile& file : {mapped, in_memory}) {
    for (const auto& [at, bytes] :
         {std::pair<size_t, size_t>{0, 100'000}, {1, 99'999}, {5000, 3}, {100'000, 0}}) {
      file.Forget(file.bytes().subspan(at, bytes));
      EXPECT_TRUE(std::ranges::equal(file.bytes(), std::as_bytes(std::span(text))));
    }
  }
}

TEST_F(Files, AFullDiskIsAnErrorAndLeavesNothing) {
  if (access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full here";
  fs::create_symlink("/dev/full", folder_ / ("x.partial." + std::to_string(getpid())));
  EXPECT_THROW(WriteFile(folder_ / "x", "text"), Error);
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

}  // namespace
}  // namespace linnet
