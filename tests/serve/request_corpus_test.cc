#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "fuzz/request_entries.h"
#include "fuzz/tool_calls_entries.h"

namespace linnet {
namespace {

TEST(RequestCorpusTest, NothingFails) {
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(LINNET_SOURCE_DIR "/tests/fuzz/corpus/request")) {
    SCOPED_TRACE(entry.path());
    FuzzRequest(ReadFile(entry.path()));
    ++count;
  }
  EXPECT_GE(count, 6);
}

TEST(ToolCallsCorpusTest, NothingFails) {
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(LINNET_SOURCE_DIR "/tests/fuzz/corpus/tool_calls")) {
    SCOPED_TRACE(entry.path());
    FuzzToolCalls(ReadFile(entry.path()));
    ++count;
  }
  EXPECT_GE(count, 17);
}

}  // namespace
}  // namespace linnet
