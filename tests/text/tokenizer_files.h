// Small vocabularies for tests, as the files that real ones come in.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace linnet {

/// A character as tokenizer.json writes a byte.
inline std::string Utf8(int code) {
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

/// A tokenizer.json whose ids are: bytes at their own value, then one for each merge. Merges are written as
/// in the file: {"Ġ", "a"} for " a".
inline nlohmann::json SmallBpe(const std::vector<std::pair<std::string, std::string>>& merges = {}) {
  nlohmann::json vocab, list = nlohmann::json::array();
  int others = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173);
    vocab[Utf8(printable ? byte : others++)] = byte;
  }
  for (const auto& [left, right] : merges) {
    vocab[left + right] = vocab.size();
    list.push_back(left + " " + right);
  }
  const nlohmann::json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}};
  return {{"added_tokens", nlohmann::json::array()},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", bytes},
          {"decoder", bytes},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", list}}}};
}

inline nlohmann::json AddedToken(int id, const std::string& text, bool special, bool normalized) {
  return {{"id", id}, {"content", text}, {"special", special}, {"normalized", normalized}};
}

/// A World vocabulary file: bytes at their value + 1, then tokens "00000", "00001", ... up to `last` id.
inline std::string SmallWorld(int last = 256) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += std::to_string(byte + 1) + " b'\\x" + kDigits[byte / 16] + kDigits[byte % 16] + "' 1\n";
  }
  for (int id = 257; id <= last; ++id) {
    text += std::to_string(id) + " '" + std::to_string(100000 + id).substr(1) + "' 5\n";
  }
  return text;
}

}  // namespace linnet
