// Byte-level byte-pair encoding, as GPT-2 introduced it and the GPT-NeoX 20B vocabulary of RWKV's Pile models
// uses it (Sennrich et al., arXiv:1508.07909; Radford et al., 2019). The bytes of a piece of text are its
// first symbols; of the pairs of neighbours the one that comes first in the list of merges is made one
// symbol, again and again, until no pair is in the list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer.h"
#include "text/trie.h"

namespace linnet {

/// What defines such a tokenizer.
struct BpeVocabulary {
  struct Merge {
    int left, right, merged;  // ids
  };
  /// A token that is cut out of the text before anything else happens to it.
  struct Added {
    int id;
    std::string text;
    bool special;     // stands for no text: the end of a document
    bool normalized;  // looked for after normalisation instead of before
  };
  std::vector<std::string> tokens;  // bytes by id, added ones included; empty where there is none
  std::vector<Merge> merges;        // the first goes first
  std::vector<Added> added;
  bool nfc = false;  // text is brought to normal form C
};

/// A text that was not in normal form comes back in it. Bytes that are no UTF-8 pass through all stages and
/// come back as they were, but for those that no character has (C0, C1, F5 to FF): a vocabulary may lack
/// them, as that of GPT-NeoX does, and then they become U+FFFD.
class BpeTokenizer : public Tokenizer {
 public:
  /// Throws Error, starting with `name`, if an id lies outside of the tokens or a single byte is no token.
  BpeTokenizer(std::string name, BpeVocabulary vocabulary);

  std::string name() const override { return name_; }
  int vocab() const override { return static_cast<int>(tokens_.size()); }
  size_t EncodeSome(std::string_view bytes, bool more, std::vector<int>& ids) const override;
  std::string Decode(std::span<const int> ids) const override;
  std::string SpecialName(int id) const override;

 private:
  /// Tokens of pieces seen before, which point into the text.
  using Cache = std::unordered_map<std::string_view, std::vector<int>>;
  struct Joined {
    int rank, id;
  };
  /// Added tokens of one kind, to be cut out.
  struct Cutter {
    std::vector<int> ids;
    std::optional<Trie> trie;
    bool starts[256] = {};  // whether one of them begins with that byte

    void Add(const std::vector<BpeVocabulary::Added>& added, bool normalized, bool nfc);
    /// Calls text(piece) and token(id) in turn.
    template <class OnText, class OnToken>
    void Cut(std::string_view bytes, const OnText& text, const OnToken& token) const;
  };

  void EncodeNormal(std::string_view text, std::vector<int>& ids) const;
  std::vector<int> FirstSymbols(std::string_view piece) const;
  std::vector<int> EncodePiece(std::string_view piece) const;
  std::optional<Joined> Join(int left, int right) const;

  std::string name_;
  std::vector<std::string> tokens_;
  std::vector<bool> special_;
  std::unordered_map<uint64_t, Joined> merges_;  // by left << 32 | right
  int of_byte_[256];
  Cutter raw_, normal_;
  bool nfc_;
  bool can_stream_ = true;  // no added token reaches across a border of pieces
};

}  // namespace linnet
