// Tokenizer: bytes to token ids and back. Text is bytes here; what they mean (UTF-8, mostly) is the reader's
// business, so every input encodes and decoding what was encoded gives the same bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

class Tokenizer {
 public:
  /// In every vocabulary of RWKV token 0 separates documents: a text starts after one and ends with one.
  static constexpr int kEndOfText = 0;

  virtual ~Tokenizer() = default;

  /// What --tokenizer and the metadata of checkpoints call it.
  virtual std::string name() const = 0;
  /// Number of ids; they lie in [0, vocab()).
  virtual int vocab() const = 0;
  virtual std::vector<int> Encode(std::string_view bytes) const = 0;
  /// Throws Error, naming it, if an id is not in the vocabulary.
  virtual std::string Decode(std::span<const int> ids) const = 0;
};

/// Every byte is a token: 256 ids.
class BytesTokenizer : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  int vocab() const override { return 256; }
  std::vector<int> Encode(std::string_view bytes) const override;
  std::string Decode(std::span<const int> ids) const override;
};

/// The tokenizer of that name. Throws Error, listing the known ones, if there is none.
std::unique_ptr<Tokenizer> MakeTokenizer(const std::string& name);

/// The tokenizer of a model: the one that its file names, or, where the file names none, the known one of
/// that size. Throws Error starting with `model` (its path) if there is none, or if its vocabulary is not the
/// model's.
std::unique_ptr<Tokenizer> TokenizerOf(const std::string& model, const std::string& name, int64_t vocab);

}  // namespace linnet
