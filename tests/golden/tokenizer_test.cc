// Tokens of the reference tokenizers (golden data, part C). The vocabularies lie outside of the golden data,
// in the folder named by LINNET_TOKENIZERS or in data/tokenizers beside the golden folder.
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "formats/refusal.h"
#include "golden/golden.h"
#include "text/tokenizer_of.h"
#include "text/utf8.h"
#include "text/world.h"

namespace linnet {
namespace {

using nlohmann::json;

std::filesystem::path VocabularyFile(const std::string& name) {
  const char* named = std::getenv("LINNET_TOKENIZERS");
  return (named != nullptr ? named : golden::Folder() / ".." / "data" / "tokenizers") / name;
}

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

std::string Input(const json& golden) {
  if (golden.contains("text")) return golden.at("text");
  if (golden.contains("hex")) return FromHex(golden.at("hex"));
  std::string bytes;
  for (int i = 0; i < golden.at("count").get<int>(); ++i) bytes += FromHex(golden.at("unit_hex"));
  return bytes;
}

/// As Python shows bytes that are no text.
std::string AsText(const std::string& bytes) {
  Utf8Stream stream(Utf8Stream::Mode::kValid);
  std::string text = stream.Push(bytes);
  return text + stream.Finish();
}

/// Encodes a text that comes in pieces of `size` bytes.
std::vector<int> EncodedInPieces(const Tokenizer& tokenizer, const std::string& text, size_t size) {
  std::vector<int> ids;
  std::string held;
  for (size_t at = 0; at <= text.size(); at += size) {
    held += text.substr(at, size);
    held.erase(0, tokenizer.EncodeSome(held, at + size <= text.size(), ids));
  }
  EXPECT_EQ(held, "");
  return ids;
}

void CheckEncoding(const Tokenizer& tokenizer, const json& cases) {
  for (const json& golden : cases) {
    const std::string input = Input(golden);
    const std::vector<int> ids = golden.at("ids");
    EXPECT_EQ(tokenizer.Encode(input), ids) << golden.dump();
    EXPECT_EQ(tokenizer.Decode(ids), golden.value("decoded", input)) << golden.dump();
    for (size_t size : {1, 3, 64}) EXPECT_EQ(EncodedInPieces(tokenizer, input, size), ids) << golden.dump();
  }
}

TEST(GoldenTokenizer, World) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const json golden = json::parse(ReadFile(golden::Folder() / "C_tokenizer" / "world.json"));
  const auto tokenizer = OpenTokenizerFile(VocabularyFile("rwkv_vocab_v20230424.txt"));
  EXPECT_EQ(tokenizer->vocab(), 65530);
  EXPECT_GE(golden.at("encode").size(), 246u);
  CheckEncoding(*tokenizer, golden.at("encode"));
  for (const json& row : golden.at("decode")) {
    const std::vector<int> ids = row.at("ids");
    EXPECT_EQ(tokenizer->Decode(ids), FromHex(row.at("hex"))) << row.dump();
  }
}

TEST(GoldenTokenizer, GptNeox20B) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const json golden = json::parse(ReadFile(golden::Folder() / "C_tokenizer" / "gpt_neox_20b.json"));
  const auto tokenizer = OpenTokenizerFile(VocabularyFile("20B_tokenizer.json"));
  EXPECT_EQ(tokenizer->vocab(), 50277);
  EXPECT_GE(golden.at("encode").size(), 202u);
  CheckEncoding(*tokenizer, golden.at("encode"));
  for (const json& row : golden.at("decode")) {
    const std::vector<int> ids = row.at("ids");
    EXPECT_EQ(AsText(tokenizer->Decode(ids)), row.at("decoded_skip_special")) << row.dump();
    std::string kept;
    for (int id : ids) {
      const std::string special = tokenizer->SpecialName(id);
      kept += special.empty() ? tokenizer->Decode({&id, 1}) : special;
    }
    EXPECT_EQ(AsText(kept), row.at("decoded_keep_special")) << row.dump();
  }
}

// A CRLF copy of the vocabulary is the same one.
TEST(GoldenTokenizer, WorldWithOtherLineEnds) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  const std::string text = ReadFile(VocabularyFile("rwkv_vocab_v20230424.txt"));
  std::string crlf;
  for (char c : text) crlf += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_EQ(ParseWorldVocabulary(crlf, "crlf"), ParseWorldVocabulary(text, "lf"));
}

TEST(GoldenTokenizer, OtherKindsAreRefusedByName) {
  LINNET_SKIP_WITHOUT_GOLDEN();
  EXPECT_TRUE(Refuses([] { OpenTokenizerFile(VocabularyFile("tokenizer-midi.json")); }, "'WordLevel'"));
}

}  // namespace
}  // namespace linnet
