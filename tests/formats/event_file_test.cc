// TensorBoard's event files, read back by a reader of the test's own.
#include "formats/event_file.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "formats/event_reader.h"

namespace linnet {
namespace {

class EventFiles : public testing::Test {
 protected:
  void WriteSteps(int64_t first, int64_t end) const {
    EventFile file(path_, first, 1000.5);
    for (int64_t step = first; step < end; ++step) {
      file.Write(
          {step, 1001.0 + static_cast<double>(step), {{"loss", 2.5}, {"lr", 1e-3}}, {{"text", "a\nb"}}});
    }
  }
  testing::AssertionResult CutFails(const std::string& part) const {
    try {
      CutEventFile(path_, 3);
    } catch (const Error& error) {
      if (std::string(error.what()).find(part) != std::string::npos) return testing::AssertionSuccess();
      return testing::AssertionFailure() << error.what();
    }
    return testing::AssertionFailure() << "was accepted";
  }
  TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "events";
};

TEST(Crc32c, IsTheCastagnoliOne) {
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);            // the check value of its catalogue entry
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu);  // RFC 3720, B.4
}

TEST_F(EventFiles, BeginAsTensorFlowsDo) {
  WriteSteps(0, 0);
  // The first 13 bytes of every event file: a length of 24, its masked crc, the key of wall_time.
  EXPECT_TRUE(ReadFile(path_).starts_with(std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09", 13)));
}

TEST_F(EventFiles, ReadBack) {
  WriteSteps(300, 303);
  const std::vector<ReadEvent> events = ReadEvents(path_);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[0].wall_time, 1000.5);
  EXPECT_EQ(events[1].session_status, 1);
  EXPECT_EQ(events[1].step, 300);
  EXPECT_EQ(events[4].step, 302);
  EXPECT_EQ(events[4].wall_time, 1303.0);
  EXPECT_EQ(events[4].scalars, (std::map<std::string, float>{{"loss", 2.5f}, {"lr", 1e-3f}}));
  EXPECT_EQ(events[4].texts.at("text"), "a\nb");
}

TEST_F(EventFiles, AreCutWhereTheRunGoesOn) {
  WriteSteps(0, 6);
  const std::string whole = ReadFile(path_);
  CutEventFile(path_, 6);
  EXPECT_EQ(ReadFile(path_), whole);
  WriteFile(path_, whole.substr(0, whole.size() - 3));  // killed while it wrote
  CutEventFile(path_, 3);
  const std::vector<ReadEvent> events = ReadEvents(path_);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events.back().step, 2);
  CutEventFile(path_, 0);
  EXPECT_EQ(ReadEvents(path_).size(), 1u);  // the version
}

TEST_F(EventFiles, DamageIsRefusedAndLeftAlone) {
  WriteSteps(0, 2);
  const std::string whole = ReadFile(path_);
  for (size_t at : {0, 9, 14, 60}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    WriteFile(path_, damaged);
    EXPECT_TRUE(CutFails("damaged")) << at;
    EXPECT_EQ(ReadFile(path_), damaged);
  }
  WriteFile(path_, EventRecord(std::string(11, '\xff')));
  EXPECT_TRUE(CutFails("64 bits"));
  WriteFile(path_, EventRecord("\x0b"));
  EXPECT_TRUE(CutFails("type 3"));
  WriteFile(path_, EventRecord("\x1a\x7f"));
  EXPECT_TRUE(CutFails("cut short"));
}

TEST_F(EventFiles, AFolderThatIsNotThereIsRefused) {
  EXPECT_THROW(EventFile(folder_ / "none" / "events", 0, 0), Error);
}

}  // namespace
}  // namespace linnet
