#include "train/vocabulary.h"

#include <gtest/gtest.h>

#include "cli/program.h"
#include "text/tokenizer_files.h"
#include "train/refusal.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

TEST(Vocabulary, BytesHave256) {
  const TemporaryFolder folder;
  TrainOptions options;
  const Vocabulary vocabulary = CompleteVocabulary(options, folder / "run");
  EXPECT_EQ(vocabulary.name, "bytes");
  EXPECT_EQ(options.vocab, 256);
  vocabulary.KeepIn(folder / "");
  EXPECT_TRUE(fs::is_empty(folder / ""));
  options.vocab = 100;
  EXPECT_TRUE(Refused([&] { CompleteVocabulary(options, folder / "run"); },
                      {"--vocab 100", "--tokenizer bytes", "256 tokens"}));
}

TEST(Vocabulary, FilesAreKeptWithTheRun) {
  const TemporaryFolder folder;
  WriteFile(folder / "small.txt", SmallWorld(300));
  fs::create_directory(folder / "run");
  TrainOptions options;
  options.tokenizer = folder / "small.txt";
  options.given = {"--tokenizer"};
  const Vocabulary vocabulary = CompleteVocabulary(options, folder / "run");
  EXPECT_EQ(vocabulary.ids, 301);
  EXPECT_EQ(options.tokenizer, "small.txt") << "what the model's file will name";
  EXPECT_EQ(options.vocab, 320);
  vocabulary.KeepIn(folder / "run");

  // Resuming, when the file is gone.
  fs::remove(folder / "small.txt");
  TrainOptions resumed;
  resumed.tokenizer = "small.txt";
  resumed.vocab = 320;
  EXPECT_EQ(CompleteVocabulary(resumed, folder / "run").ids, 301);
  EXPECT_TRUE(Refused([&] { CompleteVocabulary(resumed, folder / "other"); }, {"no tokenizer 'small.txt'"}));
}

TEST(Vocabulary, AModelBringsItsOwn) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "run");
  WriteFile(folder / "small.txt", SmallWorld(300));
  TrainOptions options;
  options.init = WriteTinyModel(folder / "model.safetensors", 320, {{"tokenizer", "small.txt"}});
  const Vocabulary vocabulary = CompleteVocabulary(options, folder / "run");
  EXPECT_EQ(vocabulary.name, "small.txt");
  EXPECT_EQ(options.vocab, 0) << "that of the model";
  vocabulary.KeepIn(folder / "run");
  EXPECT_TRUE(fs::exists(folder / "run/small.txt"));
}

}  // namespace
}  // namespace linnet
