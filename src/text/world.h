// The tokenizer of RWKV's World models: the longest token that the rest of the text begins with, again and
// again, over bytes. Nothing is cut or normalised before, every byte is a token itself, so every input
// encodes and comes back as it was.
//
// The vocabulary is a text file (rwkv_vocab_v20230424.txt of RWKV-LM), a line a token:
//     33155 'Hello' 5                id, Python literal of a str or of bytes, number of bytes
//     129 b'\x80' 1
// A str stands for its UTF-8, so '\x80' has two bytes and b'\x80' one. Id 0, the end of a document, has no
// line. Escapes are Python's: \\ \' \" \a \b \f \n \r \t \v \ooo \xhh, in a str also \uhhhh and \Uhhhhhhhh; a
// backslash before anything else stands for itself. CR LF ends a line as LF does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/trie.h"

namespace linnet {

/// The bytes of each token, by id; empty where there is none. `file` is what messages call the text. Throws
/// Error naming the line if it is malformed, if its length is not that of its literal, or if an id or a token
/// is there twice.
std::vector<std::string> ParseWorldVocabulary(std::string_view text, const std::string& file);

class WorldTokenizer : public Tokenizer {
 public:
  /// `tokens` as above, or as a GGUF file holds them; an entry 0 is left out of encoding. Throws Error,
  /// starting with `name`, if a single byte is missing among them.
  WorldTokenizer(std::string name, std::vector<std::string> tokens);

  std::string name() const override { return name_; }
  int vocab() const override { return static_cast<int>(tokens_.size()); }
  size_t EncodeSome(std::string_view bytes, bool more, std::vector<int>& ids) const override;
  std::string Decode(std::span<const int> ids) const override;
  std::string SpecialName(int id) const override { return id == kEndOfText ? "<|endoftext|>" : ""; }

 private:
  std::string name_;
  std::vector<std::string> tokens_;
  Trie trie_;
  size_t longest_ = 0;  // bytes
};

}  // namespace linnet
