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

TEST(BytesTokenizer, EveryPieceOfATextIsCertain) {
  std::vector<int> ids;
  EXPECT_EQ(BytesTokenizer().EncodeSome("ab", true, ids), 2u);
  EXPECT_EQ(ids, (std::vector<int>{'a', 'b'}));
}

TEST(LettersTokenizer, KnowsItsLettersAndNoOthers) {
  const LettersTokenizer tokenizer("v", "01,#");
  EXPECT_EQ(tokenizer.Encode("1,0#"), (std::vector<int>{1, 2, 0, 3}));
  EXPECT_EQ(tokenizer.Decode(std::vector<int>{3, 0}), "#0");
  EXPECT_FALSE(tokenizer.has_end_of_text());
  EXPECT_TRUE(
      Refuses([&] { tokenizer.Encode("2"); }, "v: has no token for the byte 0x32; it knows 4 letters"));
  EXPECT_TRUE(Refuses([&] { tokenizer.Decode(std::vector<int>{4}); }, "there is no token 4"));
  EXPECT_TRUE(Refuses([] { LettersTokenizer("v", "aba"); }, "v: the letter 0x61 is there twice"));
}

}  // namespace
}  // namespace linnet
