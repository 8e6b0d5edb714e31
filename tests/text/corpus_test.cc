// Every seed and every input that a fuzzer once broke a tokenizer with, run without a fuzzer.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "fuzz/text_entries.h"

namespace linnet {
namespace {

size_t RunAll(const std::string& folder, void (*entry)(std::string_view)) {
  size_t files = 0;
  const std::filesystem::path corpus = LINNET_SOURCE_DIR "/tests/fuzz/corpus";
  for (const auto& file : std::filesystem::directory_iterator(corpus / folder)) {
    SCOPED_TRACE(file.path().string());
    const std::string text = ReadFile(file.path());
    EXPECT_NO_THROW(entry(text));
    ++files;
  }
  return files;
}

TEST(TextCorpus, WorldVocabulary) { EXPECT_GT(RunAll("world_vocabulary", FuzzWorldVocabulary), 5u); }
TEST(TextCorpus, TokenizerJson) { EXPECT_GT(RunAll("tokenizer_json", FuzzTokenizerJson), 5u); }
TEST(TextCorpus, Encoding) { EXPECT_GE(RunAll("encoding", FuzzEncoding), 5u); }

}  // namespace
}  // namespace linnet
