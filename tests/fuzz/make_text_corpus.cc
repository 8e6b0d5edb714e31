// Writes the seeds of the tokenizers' fuzzers: small files, sound ones and ones broken in one place each.
//   make_text_corpus FOLDER
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "text/tokenizer_files.h"

namespace linnet {
namespace {

using nlohmann::json;

void Save(const std::filesystem::path& folder, const std::string& name, const std::string& text) {
  std::filesystem::create_directories(folder);
  WriteFile(folder / name, text);
}

void MakeWorld(const std::filesystem::path& folder) {
  const std::string sound = SmallWorld(258);
  Save(folder, "sound", sound);
  Save(folder, "literals", sound + R"(259 '\x80' 2
260 "it's" 4
261 '\t\n\r\\\'' 5
262 '\u2002\U0001F600' 7
263 b'\101\0' 2
264 ' ' 1
)");
  Save(folder, "no_length", "1 'a'\n");
  Save(folder, "wrong_length", "1 'a' 2\n");
  Save(folder, "far_id", "4000000000 'a' 1\n");
  Save(folder, "twice", "1 'a' 1\n1 'b' 1\n");
  Save(folder, "surrogate", "1 '\\ud800' 3\n");
  Save(folder, "open", "1 '\\");
}

void MakeJson(const std::filesystem::path& folder) {
  json sound = SmallBpe({{"a", "b"}, {"ab", "c"}, {"Ġ", "Ġ"}});
  Save(folder, "sound", sound.dump());
  sound["added_tokens"] = {AddedToken(259, "<|end|>", true, false), AddedToken(260, "  ", false, true),
                           AddedToken(261, "b \x20 a", false, false)};
  sound["model"]["merges"] = json::array({json::array({"a", "b"})});
  Save(folder, "added", sound.dump());
  sound["added_tokens"][0]["id"] = 1u << 31;
  Save(folder, "far_id", sound.dump());
  sound["model"]["vocab"]["a"] = -1;
  Save(folder, "negative_id", sound.dump());
  Save(folder, "empty", "{}");
  Save(folder, "deep", std::string(500, '['));
  Save(folder, "unigram", R"({"model":{"type":"Unigram"}})");
}

void MakeTexts(const std::filesystem::path& folder) {
  Save(folder, "words", "I'm 42 years; aren't  you?\n\n\tx\xC2\xBD \xE4\xB8\xAD\xE6\x96\x87");
  Save(folder, "marks", "e\xCC\x81 a\xCC\x81\xCC\xA3 \xE1\x84\x80\xE1\x85\xA1 \xE2\x84\xAB");
  Save(folder, "no_text", "\xFF\xC3 \x80\xED\xA0\x80\xF4\x90\x80\x80");
  Save(folder, "spaces", "   a \xE3\x80\x80 \xC2\x85\n   ");
  Save(folder, "tokens", "00299ab abab  \xC3\xA9" + std::string(40, '0'));
}

}  // namespace
}  // namespace linnet

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_text_corpus FOLDER\n");
    return 1;
  }
  const std::filesystem::path folder = argv[1];
  linnet::MakeWorld(folder / "world_vocabulary");
  linnet::MakeJson(folder / "tokenizer_json");
  linnet::MakeTexts(folder / "encoding");
}
