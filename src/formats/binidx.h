// binidx: tokenised documents in two files, NAME.bin and NAME.idx, as Megatron-LM defined them
// (MMapIndexedDataset) and RWKV-LM reads them.
//
//   NAME.bin   the tokens of all items, back to back, little-endian
//   NAME.idx   "MMIDIDX\0\0"
//              u64 version = 1
//              u8  type of a token: 1 u8, 2 i8, 3 i16, 4 i32, 5 i64, 8 u16 (6 and 7 are floating-point:
//              refused) u64 number of items u64 number of entries in `document` below i32 tokens in each item
//              i64 byte in NAME.bin where each item begins
//              i64 document[]: number of the first item of each document and, last, the number of items
//
// Here an item is a document, and ends with token 0. A third file is linnet's own: where only some tokens are
// to be learnt (the answers of a conversation),
//
//   NAME.mask  "linnet mask 1\0\0\0", name of the chat template in 48 bytes, padded with zeros; then a bit a
//              token, 1: to be learnt. Token i is bit i % 8 (from the lowest) of byte i / 8.
//
// Programs that know nothing of it read the other two as ever.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"

namespace linnet {

/// How a token is stored; the values are those of the file.
enum class TokenType : uint8_t { kU8 = 1, kI8 = 2, kI16 = 3, kI32 = 4, kI64 = 5, kU16 = 8 };

/// The smallest type that RWKV-LM writes for a vocabulary: u16 or i32.
inline TokenType TokenTypeFor(int64_t vocab) { return vocab <= 65536 ? TokenType::kU16 : TokenType::kI32; }
/// "u16"
std::string Name(TokenType type);

/// The paths of a NAME; each may itself be what the user gave.
struct BinidxPaths {
  explicit BinidxPaths(const std::filesystem::path& name);
  std::filesystem::path name, tokens, index, mask;
};

class Binidx {
 public:
  /// Opens NAME, NAME.bin or NAME.idx, with NAME.mask if it is there. Throws Error, naming the file, if one
  /// is missing, cut short or longer than the index says, or the index contradicts itself.
  static Binidx Open(const std::filesystem::path& name);
  Binidx(const MappedFile& index, MappedFile tokens, std::optional<MappedFile> mask);

  TokenType type() const { return type_; }
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return documents_; }
  /// The place of a document's first token among all; of `documents()`, one behind the last.
  int64_t begin(int64_t document) const;
  int64_t length(int64_t document) const { return begin(document + 1) - begin(document); }

  /// The tokens at [begin, begin + ids.size()).
  void Read(int64_t begin, std::span<int> ids) const;
  int Token(int64_t at) const {
    int id = 0;
    Read(at, {&id, 1});
    return id;
  }

  struct Ids {
    int64_t least = std::numeric_limits<int64_t>::max(), most = std::numeric_limits<int64_t>::min();
  };
  /// The range of all ids; reads every token.
  Ids IdRange() const;
  /// Throws Error, naming the file, unless all ids are those of `vocabulary`, as messages call it, which has
  /// `vocab` of them. Reads every token unless their type alone says so.
  void CheckIds(int64_t vocab, const std::string& vocabulary) const;

  bool has_mask() const { return mask_.has_value(); }
  /// The template that conversations were written with; "" without a mask.
  const std::string& chat_template() const { return chat_template_; }
  /// Whether a token is to be learnt.
  bool Learnt(int64_t token) const {
    if (!mask_) return true;
    return (std::to_integer<int>(mask_->bytes()[kMaskHeader + token / 8]) >> (token % 8) & 1) != 0;
  }
  /// How many of [begin, end) are.
  int64_t CountLearnt(int64_t begin, int64_t end) const;

  /// The files, as they were opened.
  std::vector<MappedFile> files() const;

  static constexpr int64_t kMaskHeader = 64;

 private:
  void ReadIndex(const MappedFile& index);
  void CheckItems() const;
  void CheckDocuments() const;
  void ReadMask();
  int32_t item_size(int64_t item) const;
  int64_t item_begin(int64_t item) const;  // in bytes
  int64_t first_item(int64_t document) const;

  MappedFile index_, bin_;
  std::optional<MappedFile> mask_;
  std::string chat_template_;
  TokenType type_ = TokenType::kU16;
  int64_t token_bytes_ = 2, items_ = 0, documents_ = 0, tokens_ = 0;
};

/// Writes a binidx document by document; memory grows by four bytes each. The files appear at Commit(), the
/// index last, so that one with an index is whole.
class BinidxWriter {
 public:
  /// `name` may end in .bin or .idx. Throws Error if the files cannot be written.
  BinidxWriter(const std::filesystem::path& name, TokenType type, std::string chat_template = "");

  /// Appends to the document in writing. `learnt` has a 0 for each token that is not to be learnt; empty: all
  /// are. Throws Error if an id does not fit the type.
  void Append(std::span<const int> ids, std::span<const uint8_t> learnt = {});
  void EndDocument();
  int64_t tokens() const { return tokens_; }
  int64_t documents() const { return static_cast<int64_t>(sizes_.size()); }
  /// Puts the files in place. A mask is written if any token is not to be learnt; an older one goes
  /// otherwise. Throws Error if there is no document, or writing fails.
  void Commit();

 private:
  template <class T>
  void Store(std::span<const int> ids);
  void StoreMask(std::span<const uint8_t> learnt, size_t count);

  BinidxPaths paths_;
  TokenType type_;
  AtomicFile bin_, mask_;
  std::vector<std::byte> buffer_;
  std::string mask_buffer_;
  unsigned mask_byte_ = 0;  // of the last tokens, fewer than eight
  bool masked_ = false;     // a token that is not to be learnt was there
  std::vector<int32_t> sizes_;
  int64_t tokens_ = 0, document_begin_ = 0;
};

}  // namespace linnet
