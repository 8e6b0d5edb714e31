#include "train/identity.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "train/refusal.h"

namespace linnet {
namespace {

TEST(Fingerprint, FollowsContentAndLength) {
  const TemporaryFolder folder;
  std::string text(3 << 20, 'a');
  const auto print = [&] {
    WriteFile(folder / "text", text);
    return Fingerprint(folder / "text");
  };
  const std::string before = print();
  EXPECT_EQ(before.size(), 16u);
  EXPECT_EQ(print(), before);
  for (const size_t place : {size_t{0}, text.size() - 1, size_t{100}}) {
    text[place] = 'b';
    EXPECT_NE(print(), before) << place;
    text[place] = 'a';
  }
  text += 'a';
  EXPECT_NE(print(), before);
  // Of a short file every byte counts.
  text.assign(70000, 'a');
  const std::string shorter = print();
  text[33333] = 'b';
  EXPECT_NE(print(), shorter);
}

TEST(DataIdentity, DifferencesAreNamed) {
  const std::string saved = R"([{"name":"a","bytes":5,"fingerprint":"01"}])";
  EXPECT_NO_THROW(CheckSameData(saved, saved, "file"));
  EXPECT_NO_THROW(CheckSameData(saved, R"([{"name":"a","bytes":5}])", "file")) << "of an earlier version";
  EXPECT_TRUE(
      Refused([&] { CheckSameData(R"([{"name":"b","bytes":5,"fingerprint":"01"}])", saved, "the file"); },
              {"--data", "\"b\"", "learnt from", "the file", "--out"}));
  EXPECT_TRUE(
      Refused([&] { CheckSameData(R"([{"name":"a","bytes":5,"fingerprint":"02"}])", saved, "the file"); },
              {"--data", "content has changed", "the file"}));
  EXPECT_TRUE(Refused([&] { CheckSameData(saved, "{", "the file"); }, {"--data", "the file"}));
}

}  // namespace
}  // namespace linnet
