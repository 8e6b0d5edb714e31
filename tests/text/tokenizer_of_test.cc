#include "text/tokenizer_of.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "formats/refusal.h"
#include "text/tokenizer_files.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// A folder for a model and one for tokenizers, both empty; the environment names no other.
class TokenizerOfAModel : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "linnet.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    for (const char* name : {"models", "models/m", "kept"}) fs::create_directory(root_ / name);
    setenv("LINNET_TOKENIZERS", (root_ / "kept").c_str(), 1);
    setenv("XDG_DATA_HOME", (root_ / "data").c_str(), 1);
  }
  void TearDown() override { fs::remove_all(root_); }

  TokenizerClues Clues(int64_t vocab) const {
    return {.model = (root_ / "models/m/m.pth").string(), .vocab = vocab};
  }

  fs::path root_;
};

TEST_F(TokenizerOfAModel, IsTheOneAskedFor) {
  TokenizerClues clues = Clues(256);
  clues.wanted = "bytes";
  EXPECT_EQ(TokenizerOf(clues)->name(), "bytes");
  WriteFile(root_ / "v.txt", SmallWorld(300));
  clues.vocab = 304;
  clues.wanted = (root_ / "v.txt").string();
  clues.named = "bytes";  // what the file says counts for less
  EXPECT_EQ(TokenizerOf(clues)->name(), "v.txt");
  clues.vocab = 300;  // its largest id is 300
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); },
                      "m.pth: the model has a vocabulary of 300, the tokenizer 'v.txt' one of 301"));
  clues.vocab = 400;  // too many rows without a token
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); }, "vocabulary of 400"));
  clues.wanted = "elvish";
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); }, "there is no tokenizer 'elvish'"));
}

TEST_F(TokenizerOfAModel, MayBeOfAFewLetters) {
  TokenizerClues clues = Clues(3);
  clues.tokens = {"a", "b", "#"};
  EXPECT_EQ(TokenizerOf(clues)->Encode("#a"), (std::vector<int>{2, 0}));
  EXPECT_FALSE(TokenizerOf(clues)->has_end_of_text());
  clues.tokens[1] = "bc";  // no letter
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); }, "no vocabulary for every text"));
}

TEST_F(TokenizerOfAModel, IsTheOneInItsFile) {
  TokenizerClues clues = Clues(258);
  clues.tokens.resize(258);
  for (int i = 0; i < 256; ++i) clues.tokens[i + 1] = static_cast<char>(i);
  EXPECT_EQ(TokenizerOf(clues)->Encode("a"), (std::vector<int>{'a' + 1}));
  EXPECT_EQ(TokenizerOf(clues)->name(), "the vocabulary in m.pth");
  clues.vocab = 200;
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); }, "vocabulary of 200"));
}

TEST_F(TokenizerOfAModel, LiesBesideItOneUpOrWhereTokenizersAreKept) {
  const TokenizerClues clues = Clues(304);
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); }, "found no tokenizer for its vocabulary of 304"));
  fs::create_directories(root_ / "data/linnet");
  for (const char* folder : {"data/linnet", "kept", "models", "models/m"}) {
    WriteFile(root_ / folder / "vocab.txt", SmallWorld(300));
    EXPECT_EQ(TokenizerOf(clues)->name(), "vocab.txt") << folder;
    fs::remove(root_ / folder / "vocab.txt");
  }
}

TEST_F(TokenizerOfAModel, PassesOverFilesThatDoNotFit) {
  WriteFile(root_ / "models/m/vocab.txt", SmallWorld(600));
  WriteFile(root_ / "models/m/tokenizer.json", "{}");
  EXPECT_TRUE(Refuses([&] { TokenizerOf(Clues(304)); }, "has a vocabulary of 601"));
  EXPECT_EQ(TokenizerOf(Clues(256))->name(), "bytes");
  WriteFile(root_ / "kept/tokenizer.json", SmallBpe({{"a", "b"}}).dump());
  EXPECT_EQ(TokenizerOf(Clues(257))->name(), "tokenizer.json");
}

TEST_F(TokenizerOfAModel, IsTheFileThatItsMetadataName) {
  TokenizerClues clues = Clues(304);
  clues.named = "mine.txt";
  WriteFile(root_ / "kept/vocab.txt", SmallWorld(301));
  WriteFile(root_ / "kept/mine.txt", SmallWorld(300));
  EXPECT_EQ(TokenizerOf(clues)->name(), "mine.txt");
  clues.named = (root_ / "elsewhere/mine.txt").string();  // where it lay in training says nothing here
  EXPECT_EQ(TokenizerOf(clues)->name(), "mine.txt");
  clues.named = "bytes";
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); }, "the tokenizer 'bytes' one of 256"));
  clues.named = "elvish";  // then any that fits
  EXPECT_EQ(TokenizerOf(clues)->name(), "vocab.txt");
  clues.vocab = 256;
  EXPECT_TRUE(Refuses([&] { TokenizerOf(clues); }, "put elvish beside the model"));
}

TEST_F(TokenizerOfAModel, MessagesNameTheFileThatIsNeeded) {
  EXPECT_TRUE(Refuses([&] { TokenizerOf(Clues(65536)); }, "put rwkv_vocab_v20230424.txt beside the model"));
  EXPECT_TRUE(Refuses([&] { TokenizerOf(Clues(50277)); }, "put 20B_tokenizer.json beside the model"));
  EXPECT_TRUE(Refuses([&] { TokenizerOf(Clues(50277)); }, (root_ / "kept").string()));
}

TEST_F(TokenizerOfAModel, NamesAreShortForFiles) {
  WriteFile(root_ / "kept/rwkv_vocab_v20230424.txt", SmallWorld());
  EXPECT_EQ(MakeTokenizer("world")->name(), "rwkv_vocab_v20230424.txt");
  EXPECT_EQ(MakeTokenizer("bytes")->vocab(), 256);
  EXPECT_TRUE(Refuses([] { MakeTokenizer("20B"); }, "there is no tokenizer '20B'"));
}

TEST_F(TokenizerOfAModel, FilesAreToldApartByTheirContent) {
  WriteFile(root_ / "a.json", SmallWorld());
  WriteFile(root_ / "a.txt", " \n" + SmallBpe().dump());
  EXPECT_EQ(OpenTokenizerFile(root_ / "a.json")->Encode("a"), (std::vector<int>{'a' + 1}));
  EXPECT_EQ(OpenTokenizerFile(root_ / "a.txt")->Encode("a"), (std::vector<int>{'a'}));
  EXPECT_TRUE(Refuses([&] { OpenTokenizerFile(root_ / "none"); }, "none"));
  WriteFile(root_ / "empty", "");
  EXPECT_TRUE(Refuses([&] { OpenTokenizerFile(root_ / "empty"); }, "no vocabulary for every text"));
}

}  // namespace
}  // namespace linnet
