// Every seed and every input that a fuzzer once broke grammars with, run without a fuzzer.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "fuzz/grammar_entries.h"

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

TEST(GrammarCorpus, Grammars) { EXPECT_GT(RunAll("grammar", FuzzGrammar), 5u); }
TEST(GrammarCorpus, JsonSchemas) { EXPECT_GT(RunAll("json_schema", FuzzJsonSchema), 5u); }

}  // namespace
}  // namespace linnet
