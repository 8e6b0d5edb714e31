#include "text/tokenizer_json.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "text/bpe.h"
#include "text/utf8.h"

namespace linnet {
namespace {

using nlohmann::json;

constexpr size_t kMaxBytes =
    64 << 20;  // ten times what the largest vocabularies take; a tree costs a multiple
constexpr int kMaxDepth = 32;

/// By character, the byte that it stands for; -1 for those that stand for none.
std::array<int, 512> MakeByteOfCharacter() {
  std::array<int, 512> bytes;
  bytes.fill(-1);
  int others = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    bytes[printable ? byte : others++] = byte;
  }
  return bytes;
}

/// The bytes of a token as the file writes it. One with characters that stand for no byte is its own UTF-8.
std::string TokenBytes(const std::string& written) {
  static const std::array<int, 512> byte_of = MakeByteOfCharacter();
  std::string bytes;
  for (std::string_view rest = written; !rest.empty();) {
    const Character character = FirstCharacter(rest);
    if (character.code >= byte_of.size() || byte_of[character.code] < 0) return written;
    bytes += static_cast<char>(byte_of[character.code]);
    rest.remove_prefix(character.length);
  }
  return bytes;
}

class Reader {
 public:
  Reader(const json& root, const std::string& file) : root_(root), file_(file) {}

  BpeVocabulary Read() {
    const json& model = root_.at("model");
    CheckModel(model);
    CheckStages();
    ReadTokens(model.at("vocab"));
    ReadMerges(model.at("merges"));
    if (const json& added = Optional(root_, "added_tokens"); !added.is_null()) {
      for (const json& token : added) ReadAdded(token);
    }
    return std::move(vocabulary_);
  }

 private:
  /// A member that may be absent, which is as if it were null.
  static const json& Optional(const json& object, const char* key) {
    static const json null;
    const auto found = object.find(key);
    return found == object.end() ? null : *found;
  }
  static std::string TypeOf(const json& part) { return part.is_null() ? "none" : part.value("type", "none"); }
  static bool Flag(const json& object, const char* key, bool otherwise) {
    const json& value = Optional(object, key);
    return value.is_null() ? otherwise : value.get<bool>();
  }

  void CheckStages() {
    const std::string normalizer = TypeOf(Optional(root_, "normalizer"));
    Check(normalizer == "none" || normalizer == "NFC",
          "{}: asks for the normaliser '{}'; linnet has NFC, or none", file_, normalizer);
    vocabulary_.nfc = normalizer == "NFC";
    const json& pieces = Optional(root_, "pre_tokenizer");
    Check(TypeOf(pieces) == "ByteLevel", "{}: asks for the pre-tokeniser '{}'; linnet has ByteLevel", file_,
          TypeOf(pieces));
    Check(!Flag(pieces, "add_prefix_space", true) && Flag(pieces, "use_regex", true),
          "{}: asks for a ByteLevel pre-tokeniser with add_prefix_space or without use_regex, which linnet "
          "does "
          "not have",
          file_);
    const std::string decoder = TypeOf(Optional(root_, "decoder"));
    Check(decoder == "ByteLevel", "{}: asks for the decoder '{}'; linnet has ByteLevel", file_, decoder);
  }

  void CheckModel(const json& model) const {
    const std::string type = model.value("type", "BPE");
    Check(type == "BPE", "{}: is a tokenizer of the kind '{}'; linnet has byte-level BPE", file_, type);
    for (const char* option : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const json& value = Optional(model, option);
      Check(value.is_null() || value == "", "{}: asks for {}, which linnet does not have", file_, option);
    }
    for (const char* option : {"byte_fallback", "ignore_merges"}) {
      Check(!Flag(model, option, false), "{}: asks for {}, which linnet does not have", file_, option);
    }
    const json& dropout = Optional(model, "dropout");
    Check(dropout.is_null() || dropout == 0, "{}: asks for dropout, which linnet does not have", file_);
  }

  /// Makes room for an id and checks that it is no wild number: few tables have gaps.
  std::string& TokenOf(const json& id, size_t known) {
    Check(id.is_number_unsigned() && id.get<uint64_t>() <= 2 * known + 1024,
          "{}: a token has the id {}, but there are {} tokens", file_, id.dump(), known);
    const auto index = id.get<size_t>();
    if (index >= vocabulary_.tokens.size()) vocabulary_.tokens.resize(index + 1);
    return vocabulary_.tokens[index];
  }

  void ReadTokens(const json& vocab) {
    Check(vocab.is_object(), "{}: the vocabulary must be an object", file_);
    for (const auto& [written, id] : vocab.items()) {
      std::string& token = TokenOf(id, vocab.size());
      Check(token.empty(), "{}: two tokens have the id {}", file_, id.dump());
      token = TokenBytes(written);
      ids_.emplace(written, id.get<int>());
    }
  }

  int IdOf(const std::string& written) const {
    const auto found = ids_.find(written);
    Check(found != ids_.end(), "{}: a merge names '{}', which is not in the vocabulary", file_,
          written.substr(0, 100));
    return found->second;
  }

  /// Merges are strings "left right" or, in newer files, lists of two.
  void ReadMerges(const json& merges) {
    Check(merges.is_array(), "{}: the merges must be a list", file_);
    for (const json& merge : merges) {
      std::string left, right;
      if (merge.is_string()) {
        const auto& text = merge.get_ref<const std::string&>();
        const size_t space = std::min(text.find(' '), text.size());
        left = text.substr(0, space);
        right = text.substr(std::min(space + 1, text.size()));
      } else {
        Check(merge.is_array() && merge.size() == 2, "{}: a merge must be two tokens but is {}", file_,
              merge.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 100));
        left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
      }
      vocabulary_.merges.push_back({IdOf(left), IdOf(right), IdOf(left + right)});
    }
  }

  void ReadAdded(const json& token) {
    const auto& text = token.at("content").get_ref<const std::string&>();
    Check(!text.empty(), "{}: an added token is empty", file_);
    for (const char* option : {"lstrip", "rstrip", "single_word"}) {
      Check(!Flag(token, option, false), "{}: the added token '{}' asks for {}, which linnet does not have",
            file_, text, option);
    }
    TokenOf(token.at("id"), ids_.size() + root_.at("added_tokens").size()) = text;
    const bool special = Flag(token, "special", false);
    vocabulary_.added.push_back(
        {token.at("id").get<int>(), text, special, Flag(token, "normalized", !special)});
  }

  const json& root_;
  const std::string& file_;
  std::unordered_map<std::string, int> ids_;  // as the file writes them
  BpeVocabulary vocabulary_;
};

json Parsed(std::string_view text, const std::string& file) {
  return json::parse(text.begin(), text.end(), [&](int depth, json::parse_event_t, const json&) {
    Check(depth <= kMaxDepth, "{}: is nested too deeply for a tokenizer.json", file);
    return true;
  });
}

}  // namespace

std::unique_ptr<Tokenizer> ParseTokenizerJson(std::string_view text, const std::string& file,
                                              const std::string& name) {
  Check(text.size() <= kMaxBytes, "{}: {} bytes are too many for a tokenizer.json", file, text.size());
  try {
    const json root = Parsed(text, file);
    return std::make_unique<BpeTokenizer>(name, Reader(root, file).Read());
  } catch (const json::exception& error) {
    Fail("{}: is not a tokenizer.json as it should be: {}", file, error.what());
  }
}

}  // namespace linnet
