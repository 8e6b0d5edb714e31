// Tokenizer: bytes to token ids and back. Text is bytes here; what they mean (UTF-8, mostly) is the reader's
// business, so every input encodes, whatever its bytes; but a model of a few letters knows no others.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

class Tokenizer {
 public:
  /// In every vocabulary of RWKV token 0 separates documents: a text starts after one and ends with one.
  static constexpr int kEndOfText = 0;
  /// Whether it does. Where it is a letter like others, texts do not end with it.
  virtual bool has_end_of_text() const { return true; }

  virtual ~Tokenizer() = default;

  /// What --tokenizer and the metadata of checkpoints call it.
  virtual std::string name() const = 0;
  /// Number of ids; they lie in [0, vocab()).
  virtual int vocab() const = 0;

  std::vector<int> Encode(std::string_view bytes) const {
    std::vector<int> ids;
    EncodeSome(bytes, false, ids);
    return ids;
  }
  /// For texts that come in pieces. Appends the tokens of as much of `bytes` as no byte after them can change
  /// and returns how many bytes that is; the caller puts the others before the next piece. Unless `more`
  /// follows that is all of them.
  virtual size_t EncodeSome(std::string_view bytes, bool more, std::vector<int>& ids) const = 0;

  /// Ids that stand for no text, as the end of a document does, give none. Throws Error, naming it, if an id
  /// is not below vocab().
  virtual std::string Decode(std::span<const int> ids) const = 0;
  /// What stands in writing for a token without a text of its own: "<|endoftext|>"; "" for all others.
  virtual std::string SpecialName(int /*id*/) const { return ""; }
};

/// Every byte is a token: 256 ids.
class BytesTokenizer : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  int vocab() const override { return 256; }
  size_t EncodeSome(std::string_view bytes, bool more, std::vector<int>& ids) const override;
  std::string Decode(std::span<const int> ids) const override;
};

/// Every token is a letter, of one byte; there are no others. The vocabulary of small demonstrations.
class LettersTokenizer : public Tokenizer {
 public:
  /// Letter i is token i. Throws Error, starting with `name`, if one is there twice.
  LettersTokenizer(std::string name, std::string letters);

  std::string name() const override { return name_; }
  int vocab() const override { return static_cast<int>(letters_.size()); }
  bool has_end_of_text() const override { return false; }
  /// Throws Error, naming it, if a byte is none of the letters.
  size_t EncodeSome(std::string_view bytes, bool more, std::vector<int>& ids) const override;
  std::string Decode(std::span<const int> ids) const override;

 private:
  std::string name_, letters_;
};

}  // namespace linnet
