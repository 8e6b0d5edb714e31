#include "formats/binidx.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/parallel.h"
#include "formats/bytes.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr int64_t kSizesAt = 9 + 8 + 1 + 8 + 8;
constexpr std::string_view kMaskMagic("linnet mask 1\0\0\0", 16);
constexpr size_t kBuffer = 1 << 20;

struct TypeRow {
  TokenType type;
  const char* name;
  int64_t bytes, least, most;
};
constexpr TypeRow kTypes[] = {
    {TokenType::kU8, "u8", 1, 0, UINT8_MAX},           {TokenType::kI8, "i8", 1, INT8_MIN, INT8_MAX},
    {TokenType::kI16, "i16", 2, INT16_MIN, INT16_MAX}, {TokenType::kI32, "i32", 4, INT32_MIN, INT32_MAX},
    {TokenType::kI64, "i64", 8, INT64_MIN, INT64_MAX}, {TokenType::kU16, "u16", 2, 0, UINT16_MAX},
};

const TypeRow* FindType(int code) {
  const auto* row = std::ranges::find(kTypes, static_cast<TokenType>(code), &TypeRow::type);
  return row == std::end(kTypes) ? nullptr : row;
}
const TypeRow& RowOf(TokenType type) { return *FindType(static_cast<int>(type)); }

/// Calls use(T()) with the C++ type of a token type.
template <class Use>
auto WithType(TokenType type, const Use& use) {
  switch (type) {
    case TokenType::kU8:
      return use(uint8_t());
    case TokenType::kI8:
      return use(int8_t());
    case TokenType::kI16:
      return use(int16_t());
    case TokenType::kI32:
      return use(int32_t());
    case TokenType::kI64:
      return use(int64_t());
    case TokenType::kU16:
      break;
  }
  return use(uint16_t());
}

template <class T>
T ReadAt(const MappedFile& file, int64_t at) {
  T value;
  std::memcpy(&value, file.bytes().data() + at, sizeof value);
  return value;
}

int64_t SizeOf(const MappedFile& file) { return static_cast<int64_t>(file.bytes().size()); }

}  // namespace

std::string Name(TokenType type) { return RowOf(type).name; }

BinidxPaths::BinidxPaths(const fs::path& given) : name(given) {
  if (given.extension() == ".bin" || given.extension() == ".idx") name.replace_extension();
  const auto with = [&](const char* extension) {
    fs::path path = name;
    return path += extension;
  };
  tokens = with(".bin"), index = with(".idx"), mask = with(".mask");
}

Binidx Binidx::Open(const fs::path& name) {
  const BinidxPaths paths(name);
  const MappedFile index(paths.index);
  MappedFile tokens(paths.tokens);
  std::optional<MappedFile> mask;
  if (fs::exists(paths.mask)) mask.emplace(paths.mask);
  return Binidx(index, std::move(tokens), std::move(mask));
}

Binidx::Binidx(const MappedFile& index, MappedFile tokens, std::optional<MappedFile> mask)
    : index_(index), bin_(std::move(tokens)), mask_(std::move(mask)) {
  ReadIndex(index);
  CheckItems();
  CheckDocuments();
  if (mask_) ReadMask();
}

void Binidx::ReadIndex(const MappedFile& index) {
  const std::string name = index.path().string();
  ByteReader reader(index.bytes(), name);
  Check(index.bytes().size() >= kMagic.size() && reader.TakeText(kMagic.size()) == kMagic,
        "{}: is no index of a binidx: it does not begin with MMIDIDX", name);
  const auto version = reader.Read<uint64_t>();
  Check(version == 1, "{}: has version {} of the format; linnet reads version 1", name, version);
  const auto code = reader.Read<uint8_t>();
  Check(code != 6 && code != 7, "{}: holds floating-point numbers (type {}), not tokens", name, code);
  const TypeRow* row = FindType(code);
  Check(row != nullptr,
        "{}: has tokens of the unknown type {}; known are 1 u8, 2 i8, 3 i16, 4 i32, 5 i64, 8 u16", name,
        code);
  const auto items = reader.Read<uint64_t>(), entries = reader.Read<uint64_t>();
  const uint64_t size = index.bytes().size();
  const bool counts_fit = items <= size / 12 && entries <= size / 8;
  Check(counts_fit && kSizesAt + 12 * items + 8 * entries == size,
        "{}: counts {} items and {} entries of documents, which does not make its {} bytes: it is cut short, "
        "or "
        "not a whole file",
        name, items, entries, size);
  Check(entries >= 1, "{}: has no documents", name);
  type_ = row->type;
  token_bytes_ = row->bytes;
  items_ = static_cast<int64_t>(items);
  documents_ = static_cast<int64_t>(entries) - 1;
  tokens_ = SizeOf(bin_) / token_bytes_;
}

int32_t Binidx::item_size(int64_t item) const { return ReadAt<int32_t>(index_, kSizesAt + 4 * item); }

int64_t Binidx::item_begin(int64_t item) const {
  return ReadAt<int64_t>(index_, kSizesAt + 4 * items_ + 8 * item);
}

int64_t Binidx::first_item(int64_t document) const {
  return ReadAt<int64_t>(index_, kSizesAt + 12 * items_ + 8 * document);
}

void Binidx::CheckItems() const {
  const std::string index = index_.path().string(), tokens = bin_.path().string();
  int64_t end = 0;  // in bytes; cannot overflow: it never passes the file's size by more than one item
  for (int64_t item = 0; item < items_; ++item) {
    Check(item_size(item) >= 0, "{}: item {} has {} tokens", index, item, item_size(item));
    Check(item_begin(item) == end, "{}: item {} begins at byte {}, but the one before ends at {}", index,
          item, item_begin(item), end);
    end += item_size(item) * token_bytes_;
    Check(end <= SizeOf(bin_), "{}: is cut short: it has {} bytes, but {} says that item {} ends at {}",
          tokens, SizeOf(bin_), index, item, end);
  }
  Check(end == SizeOf(bin_), "{}: has {} bytes, but {} knows of {}; they do not belong together", tokens,
        SizeOf(bin_), index, end);
}

void Binidx::CheckDocuments() const {
  const std::string index = index_.path().string();
  Check(first_item(0) == 0, "{}: the first document begins with item {}", index, first_item(0));
  for (int64_t d = 0; d < documents_; ++d) {
    Check(first_item(d) <= first_item(d + 1), "{}: document {} begins with item {}, the next one with {}",
          index, d, first_item(d), first_item(d + 1));
  }
  Check(first_item(documents_) == items_, "{}: its documents have {} items of {}", index,
        first_item(documents_), items_);
}

void Binidx::ReadMask() {
  const std::string name = mask_->path().string();
  ByteReader reader(mask_->bytes(), name);
  Check(SizeOf(*mask_) >= kMaskHeader && reader.TakeText(kMaskMagic.size()) == kMaskMagic,
        "{}: is not a mask of linnet's; remove it, or write the data anew", name);
  const int64_t expected = kMaskHeader + (tokens_ + 7) / 8;
  Check(SizeOf(*mask_) == expected,
        "{}: has {} bytes, but the mask of {} tokens has {}: it belongs to other data, or is cut short; "
        "write the "
        "data anew",
        name, SizeOf(*mask_), tokens_, expected);
  const std::string_view text = reader.TakeText(kMaskHeader - kMaskMagic.size());
  chat_template_ = text.substr(0, text.find('\0'));
}

int64_t Binidx::begin(int64_t document) const {
  const int64_t item = first_item(document);
  return item == items_ ? tokens_ : item_begin(item) / token_bytes_;
}

void Binidx::Read(int64_t begin, std::span<int> ids) const {
  const auto count = static_cast<int64_t>(ids.size());
  Check(begin >= 0 && begin <= tokens_ && count <= tokens_ - begin,
        "{}: there are no tokens {} to {} among {}", bin_.path().string(), begin, begin + count, tokens_);
  WithType(type_, [&]<class T>(T) {
    const std::byte* from = bin_.bytes().data() + begin * token_bytes_;
    for (size_t i = 0; i < ids.size(); ++i) {
      T value;
      std::memcpy(&value, from + i * sizeof(T), sizeof(T));
      ids[i] = static_cast<int>(value);
    }
  });
}

Binidx::Ids Binidx::IdRange() const {
  constexpr int64_t kGrain = 1 << 18;
  const int parts = Parts(tokens_, kGrain);
  std::vector<Ids> found(parts);
  WithType(type_, [&]<class T>(T) {
    ParallelParts(tokens_, parts, [&](int part, int64_t begin, int64_t end) {
      T least = std::numeric_limits<T>::max(), most = std::numeric_limits<T>::min();
      for (int64_t i = begin; i < end; ++i) {
        const auto value = ReadAt<T>(bin_, i * static_cast<int64_t>(sizeof(T)));
        least = std::min(least, value);
        most = std::max(most, value);
      }
      found[part] = {least, most};
    });
  });
  Ids all;
  for (const Ids& ids : found) all = {std::min(all.least, ids.least), std::max(all.most, ids.most)};
  return all;
}

void Binidx::CheckIds(int64_t vocab, const std::string& vocabulary) const {
  const TypeRow& row = RowOf(type_);
  if (row.least >= 0 && row.most < vocab) return;
  const Ids ids = IdRange();
  const int64_t wrong = ids.least < 0 ? ids.least : ids.most;
  Check(ids.least >= 0 && ids.most < vocab,
        "{}: holds the token {}, but {} has the ids 0 to {}; give the tokenizer that the data was made with",
        bin_.path().string(), wrong, vocabulary, vocab - 1);
}

int64_t Binidx::CountLearnt(int64_t begin, int64_t end) const {
  if (!mask_) return end - begin;
  int64_t count = 0;
  for (; begin < end && begin % 8 != 0; ++begin) count += Learnt(begin);
  for (; begin + 8 <= end; begin += 8)
    count += std::popcount(std::to_integer<unsigned>(mask_->bytes()[kMaskHeader + begin / 8]));
  for (; begin < end; ++begin) count += Learnt(begin);
  return count;
}

std::vector<MappedFile> Binidx::files() const {
  std::vector<MappedFile> files{bin_, index_};
  if (mask_) files.push_back(*mask_);
  return files;
}

BinidxWriter::BinidxWriter(const fs::path& name, TokenType type, std::string chat_template)
    : paths_(name), type_(type), bin_(paths_.tokens), mask_(paths_.mask) {
  constexpr size_t kRoom = Binidx::kMaskHeader - kMaskMagic.size();
  Check(chat_template.size() < kRoom, "the name of a chat template has {} bytes; {} are possible",
        chat_template.size(), kRoom - 1);
  chat_template.resize(kRoom);
  mask_buffer_ = std::string(kMaskMagic) + chat_template;
}

template <class T>
void BinidxWriter::Store(std::span<const int> ids) {
  const size_t at = buffer_.size();
  buffer_.resize(at + ids.size() * sizeof(T));
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto value = static_cast<T>(ids[i]);
    std::memcpy(buffer_.data() + at + i * sizeof(T), &value, sizeof(T));
  }
}

void BinidxWriter::StoreMask(std::span<const uint8_t> learnt, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const bool learn = learnt.empty() || learnt[i] != 0;
    const auto bit = static_cast<unsigned>((tokens_ + static_cast<int64_t>(i)) % 8);
    masked_ = masked_ || !learn;
    mask_byte_ |= static_cast<unsigned>(learn) << bit;
    if (bit != 7) continue;
    mask_buffer_ += static_cast<char>(mask_byte_);
    mask_byte_ = 0;
  }
}

void BinidxWriter::Append(std::span<const int> ids, std::span<const uint8_t> learnt) {
  if (ids.empty()) return;
  Check(learnt.empty() || learnt.size() == ids.size(), "[binidx] {} marks for {} tokens", learnt.size(),
        ids.size());
  const auto [least, most] = std::ranges::minmax(ids);
  const TypeRow& row = RowOf(type_);
  Check(least >= row.least && most <= row.most, "{}: the token {} does not fit {}", paths_.tokens.string(),
        least < row.least ? least : most, row.name);
  WithType(type_, [&]<class T>(T) { Store<T>(ids); });
  StoreMask(learnt, ids.size());
  tokens_ += static_cast<int64_t>(ids.size());
  if (buffer_.size() < kBuffer) return;
  bin_.Write(std::exchange(buffer_, {}));
  mask_.Write(std::exchange(mask_buffer_, {}));
}

void BinidxWriter::EndDocument() {
  const int64_t size = tokens_ - document_begin_;
  Check(size <= INT32_MAX, "{}: document {} has {} tokens; an index can count 2,147,483,647; split it",
        paths_.tokens.string(), documents(), size);
  sizes_.push_back(static_cast<int32_t>(size));
  document_begin_ = tokens_;
}

void BinidxWriter::Commit() {
  Check(tokens_ > 0, "{}: there is nothing to write: no document has a token", paths_.tokens.string());
  Check(document_begin_ == tokens_, "{}: the last document was not ended", paths_.tokens.string());
  std::string index(kMagic);
  const auto put = [&]<class T>(T value) {
    index.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  put(uint64_t{1});
  put(static_cast<uint8_t>(type_));
  put(static_cast<uint64_t>(documents()));
  put(static_cast<uint64_t>(documents()) + 1);
  index.reserve(index.size() + 20 * sizes_.size() + 8);
  for (int32_t size : sizes_) put(size);
  int64_t at = 0;
  for (int32_t size : sizes_) put(std::exchange(at, at + size * RowOf(type_).bytes));
  for (int64_t d = 0; d <= documents(); ++d) put(d);

  bin_.Write(buffer_);
  if (tokens_ % 8 != 0) mask_buffer_ += static_cast<char>(mask_byte_);
  mask_.Write(mask_buffer_);
  AtomicFile index_file(paths_.index);
  index_file.Write(index);
  // Between the first and the last of these nothing must look whole that is not.
  std::error_code none_there;
  fs::remove(paths_.index, none_there);
  fs::remove(paths_.mask, none_there);
  bin_.Commit();
  if (masked_) mask_.Commit();
  index_file.Commit();
}

}  // namespace linnet
