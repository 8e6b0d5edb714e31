// The pictures of the documents: each that a page shows is there, and each page to learn from shows one. That
// the program draws them is for documents_test.sh, which compares.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "base/file.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> PicturesOf(const fs::path& page) {
  static const std::regex kPicture(R"(!\[[^\]]*\]\(([^):]+)\))");
  const std::string text = ReadFile(page);
  std::vector<fs::path> pictures;
  for (std::sregex_iterator at(text.begin(), text.end(), kPicture), end; at != end; ++at) {
    pictures.push_back(page.parent_path() / (*at)[1].str());
  }
  return pictures;
}

const fs::path kDocs = fs::path(LINNET_SOURCE_DIR) / "docs";

TEST(PicturesTest, AreThere) {
  int count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(kDocs)) {
    if (entry.path().extension() != ".md") continue;
    for (const fs::path& picture : PicturesOf(entry.path())) {
      EXPECT_TRUE(fs::exists(picture)) << entry.path() << " shows " << picture;
      ++count;
    }
  }
  EXPECT_GT(count, 20);
}

TEST(PicturesTest, EveryPageToLearnFromHasOneAndTheyAreSmall) {
  for (const auto& entry : fs::directory_iterator(kDocs / "learn")) {
    if (entry.path().extension() == ".svg") {
      EXPECT_LT(fs::file_size(entry.path()), 40'000u) << entry.path();
    }
    if (entry.path().extension() != ".md" || entry.path().filename() == "README.md") continue;
    EXPECT_FALSE(PicturesOf(entry.path()).empty()) << entry.path();
  }
}

}  // namespace
}  // namespace linnet
