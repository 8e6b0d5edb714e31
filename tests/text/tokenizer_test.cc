#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include "formats/refusal.h"

namespace linnet {
namespace {

TEST(BytesTokenizer, EveryByteIsItsNumberAndComesBack) {
  std::string bytes;
  std::vector<int> ids;
  for (int i = 0; i < 256; ++i) {
    bytes += static_cast<char>(i);
    ids.push_back(i);
  }
  const BytesTokenizer tokenizer;
  EXPECT_EQ(tokenizer.Encode(bytes), ids);
  EXPECT_EQ(tokenizer.Decode(ids), bytes);
  EXPECT_TRUE(tokenizer.Encode("").empty());
}

TEST(BytesTokenizer, RefusesIdsThatItDoesNotHave) {
  const BytesTokenizer tokenizer;
  const std::vector<int> large = {65, 256}, negative = {-1};
  EXPECT_TRUE(Refuses([&] { tokenizer.Decode(large); }, "there is no token 256"));
  EXPECT_TRUE(Refuses([&] { tokenizer.Decode(negative); }, "there is no token -1"));
}

TEST(Tokenizers, AreFoundByName) {
  EXPECT_EQ(MakeTokenizer("bytes")->vocab(), 256);
  EXPECT_TRUE(Refuses([] { MakeTokenizer("byts"); }, "there is no tokenizer 'byts'; known are: bytes"));
}

TEST(Tokenizers, OfAModelMustHaveItsVocabulary) {
  EXPECT_EQ(TokenizerOf("m", "bytes", 256)->name(), "bytes");
  EXPECT_EQ(TokenizerOf("m", "", 256)->name(), "bytes");
  EXPECT_TRUE(Refuses([] { TokenizerOf("m.pth", "elvish", 256); }, "m.pth: needs the tokenizer 'elvish'"));
  EXPECT_TRUE(Refuses([] { TokenizerOf("m.pth", "", 65536); }, "m.pth: does not name its tokenizer"));
  EXPECT_TRUE(Refuses([] { TokenizerOf("m.pth", "bytes", 32); },
                      "m.pth: the model has a vocabulary of 32, its tokenizer 'bytes' one of 256"));
}

}  // namespace
}  // namespace linnet
