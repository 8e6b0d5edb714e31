#include "text/bpe.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "formats/refusal.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

namespace linnet {
namespace {

using nlohmann::json;
using Ids = std::vector<int>;

std::unique_ptr<Tokenizer> Make(const json& file) { return ParseTokenizerJson(file.dump(), "t.json", "t"); }

TEST(Bpe, MergesInTheOrderOfTheList) {
  // 256: ab, 257: bc, 258: abc from ab and c, 259: aab
  const auto tokenizer = Make(SmallBpe({{"a", "b"}, {"b", "c"}, {"ab", "c"}, {"a", "ab"}}));
  EXPECT_EQ(tokenizer->vocab(), 260);
  EXPECT_EQ(tokenizer->Encode("abc"), (Ids{258}));
  EXPECT_EQ(tokenizer->Encode("bc"), (Ids{257}));
  EXPECT_EQ(tokenizer->Encode("aabc"), (Ids{'a', 258}));  // abc is made before aab could be
  EXPECT_EQ(tokenizer->Encode("aab"), (Ids{259}));
  EXPECT_EQ(tokenizer->Encode(""), (Ids{}));
}

TEST(Bpe, OfEqualPairsTheLeftmostIsMerged) {
  const auto tokenizer = Make(SmallBpe({{"a", "a"}}));
  EXPECT_EQ(tokenizer->Encode("aaa"), (Ids{256, 'a'}));
  EXPECT_EQ(tokenizer->Encode("aaaaa"), (Ids{256, 256, 'a'}));
}

TEST(Bpe, NoTokenCrossesAPiece) {
  const auto tokenizer = Make(SmallBpe({{"a", "1"}, {"Ġ", "a"}, {"a", "Ġ"}}));
  EXPECT_EQ(tokenizer->Encode("a1 a"), (Ids{'a', '1', 257}));
}

TEST(Bpe, AddedTokensAreCutOutFirst) {
  json file = SmallBpe({{"<", "!"}});
  file["added_tokens"] = {AddedToken(257, "<end>", true, false), AddedToken(258, "  ", false, true),
                          AddedToken(259, "   ", false, true), AddedToken(260, "e\u0301", false, true)};
  const auto tokenizer = Make(file);
  EXPECT_EQ(tokenizer->Encode("a<end><!"), (Ids{'a', 257, 256}));
  EXPECT_EQ(tokenizer->Encode("a    b"), (Ids{'a', 259, ' ', 'b'}));  // the longest from the left
  EXPECT_EQ(tokenizer->Encode("\u00E9"), (Ids{260}));                 // what is sought is normalised, too
  EXPECT_EQ(tokenizer->Decode(Ids{'a', 257, 258}), "a  ");
  EXPECT_EQ(tokenizer->SpecialName(257), "<end>");
  EXPECT_EQ(tokenizer->SpecialName(258), "");
}

TEST(Bpe, BytesThatAreNoTextComeBack) {
  const auto tokenizer = Make(SmallBpe({{"Ã", "©"}}));
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(255 - i);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(all)), all);
  EXPECT_EQ(tokenizer->Encode("e\u0301"), (Ids{256}));
}

TEST(Bpe, BytesWithoutATokenBecomeTheReplacementCharacter) {
  json file = SmallBpe();
  file["model"]["vocab"].erase("ÿ");
  const auto tokenizer = Make(file);
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("a\xFF")), "a\uFFFD");
  file["model"]["vocab"].erase("a");
  EXPECT_TRUE(Refuses([&] { Make(file); }, "no token is the byte 0x61"));
}

/// Merging as the definition has it: all pairs are looked at, again and again.
Ids SlowMerge(Ids ids, const std::vector<BpeVocabulary::Merge>& merges) {
  while (true) {
    size_t best = merges.size(), at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      for (size_t m = 0; m < best; ++m) {
        if (merges[m].left == ids[i] && merges[m].right == ids[i + 1]) best = m, at = i;
      }
    }
    if (best == merges.size()) return ids;
    ids[at] = merges[best].merged;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

TEST(Bpe, AgreesWithTheDefinition) {
  Random random(5);
  BpeVocabulary vocabulary;
  for (int i = 0; i < 256; ++i) vocabulary.tokens.emplace_back(1, static_cast<char>(i));
  while (vocabulary.merges.size() < 40) {  // pairs of what there is of a, b and c
    const auto any = [&] {
      const int made = static_cast<int>(vocabulary.tokens.size()) - 256;
      const int i = static_cast<int>(random.Below(3 + made));
      return i < 3 ? 'a' + i : 253 + i;
    };
    const int left = any(), right = any(), merged = static_cast<int>(vocabulary.tokens.size());
    const auto same = [&](const auto& merge) { return merge.left == left && merge.right == right; };
    if (std::any_of(vocabulary.merges.begin(), vocabulary.merges.end(), same)) continue;
    vocabulary.merges.push_back({left, right, merged});
    vocabulary.tokens.push_back(vocabulary.tokens[left] + vocabulary.tokens[right]);
  }
  std::vector<BpeVocabulary::Merge> merges = vocabulary.merges;
  for (int round = 0; round < 300; ++round) {
    Ids ids(random.Below(60));
    for (int& id : ids) id = 'a' + static_cast<int>(random.Below(3));
    std::string text;
    for (int id : ids) text += static_cast<char>(id);
    vocabulary.merges = merges;
    EXPECT_EQ(BpeTokenizer("t", vocabulary).Encode(text), SlowMerge(ids, merges)) << text;
    std::swap(merges[random.Below(40)], merges[random.Below(40)]);  // an order that no training would give
  }
}

TEST(Bpe, ATextInPiecesHasTheTokensOfTheWhole) {
  json file = SmallBpe({{"a", "b"}, {"Ġ", "a"}, {"Ġ", "Ġ"}});
  file["added_tokens"] = {AddedToken(259, "<x>", true, false), AddedToken(260, "  ", false, true)};
  const std::string text = "ab  ab\n\n\u00E9e\u0301 <x> <x  ab's   42\u3000\n a";
  for (const bool crossing : {false, true}) {
    // A token that reaches across a border of pieces: then nothing can be cut.
    if (crossing) file["added_tokens"].push_back(AddedToken(261, "b \x20 a", false, false));
    const auto tokenizer = Make(file);
    for (size_t size = 1; size < 9; ++size) {
      Ids ids;
      std::string held;
      for (size_t at = 0; at <= text.size(); at += size) {
        held += text.substr(at, size);
        held.erase(0, tokenizer->EncodeSome(held, at + size <= text.size(), ids));
      }
      EXPECT_EQ(ids, tokenizer->Encode(text)) << size;
    }
  }
}

TEST(Bpe, ALongPieceTakesLittleMoreThanLinearTime) {
  const auto tokenizer = Make(SmallBpe({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}}));
  EXPECT_EQ(tokenizer->Encode(std::string(1 << 20, 'a')), Ids(1 << 17, 258));
}

TEST(TokenizerJson, MergesMayBeLists) {
  json file = SmallBpe({{"a", "b"}});
  file["model"]["merges"] = json::array({json::array({"a", "b"})});
  EXPECT_EQ(Make(file)->Encode("ab"), (Ids{256}));
}

TEST(TokenizerJson, WithoutANormaliserTextStaysAsItIs) {
  json file = SmallBpe();
  file["normalizer"] = nullptr;
  EXPECT_EQ(Make(file)->Encode("e\u0301").size(), 3u);
  file.erase("normalizer");
  EXPECT_EQ(Make(file)->Encode("e\u0301").size(), 3u);
}

TEST(TokenizerJson, WhatItDoesNotHaveIsRefusedByName) {
  const auto refuses = [](const char* pointer, const json& value, const std::string& message) {
    json file = SmallBpe({{"a", "b"}});
    file[json::json_pointer(pointer)] = value;
    return Refuses([&] { Make(file); }, message);
  };
  EXPECT_TRUE(refuses("/normalizer/type", "Lowercase", "t.json: asks for the normaliser 'Lowercase'"));
  EXPECT_TRUE(refuses("/pre_tokenizer/type", "Metaspace", "'Metaspace'"));
  EXPECT_TRUE(refuses("/pre_tokenizer", nullptr, "'none'"));
  EXPECT_TRUE(refuses("/pre_tokenizer/add_prefix_space", true, "add_prefix_space"));
  EXPECT_TRUE(refuses("/pre_tokenizer/use_regex", false, "use_regex"));
  EXPECT_TRUE(refuses("/decoder/type", "WordPiece", "'WordPiece'"));
  EXPECT_TRUE(refuses("/model/type", "Unigram", "'Unigram'"));
  EXPECT_TRUE(refuses("/model/byte_fallback", true, "byte_fallback"));
  EXPECT_TRUE(refuses("/model/ignore_merges", true, "ignore_merges"));
  EXPECT_TRUE(refuses("/model/dropout", 0.1, "dropout"));
  EXPECT_TRUE(refuses("/model/end_of_word_suffix", "</w>", "end_of_word_suffix"));
  json added = AddedToken(257, "<x>", true, false);
  added["lstrip"] = true;
  EXPECT_TRUE(refuses("/added_tokens/0", added, "lstrip"));
}

TEST(TokenizerJson, WhatIsMalformedIsRefused) {
  EXPECT_TRUE(Refuses([] { ParseTokenizerJson("{", "t.json", "t"); }, "t.json: is not a tokenizer.json"));
  EXPECT_TRUE(Refuses([] { ParseTokenizerJson("{}", "t.json", "t"); }, "t.json: "));
  EXPECT_TRUE(
      Refuses([] { ParseTokenizerJson(std::string(1000, '['), "t.json", "t"); }, "nested too deeply"));
  const auto refuses = [](const char* pointer, const json& value, const std::string& message) {
    json file = SmallBpe({{"a", "b"}});
    file[json::json_pointer(pointer)] = value;
    return Refuses([&] { Make(file); }, message);
  };
  EXPECT_TRUE(refuses("/model/vocab/ab", 1u << 30, "has the id 1073741824"));
  EXPECT_TRUE(refuses("/model/vocab/ab", -1, "has the id -1"));
  EXPECT_TRUE(refuses("/model/vocab/ab", 1e24, "has the id 1e+24"));
  EXPECT_TRUE(refuses("/model/vocab/ab", 97, "two tokens have the id 97"));
  EXPECT_TRUE(refuses("/model/vocab/ab", "x", "t.json"));
  EXPECT_TRUE(refuses("/model/vocab", 3, "must be an object"));
  EXPECT_TRUE(refuses("/model/merges", 3, "must be a list"));
  EXPECT_TRUE(refuses("/model/merges/0", "a c", "'ac', which is not in the vocabulary"));
  EXPECT_TRUE(refuses("/model/merges/0", json::array({"a"}), "must be two tokens"));
  EXPECT_TRUE(refuses("/added_tokens", json::array({3}), "t.json"));
  EXPECT_TRUE(refuses("/added_tokens", json::array({AddedToken(9999, "x", true, false)}), "has the id 9999"));
  EXPECT_TRUE(refuses("/added_tokens", json::array({AddedToken(257, "", true, false)}), "is empty"));
}

}  // namespace
}  // namespace linnet
