#include "formats/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "formats/bytes.h"
#include "formats/ggml.h"

namespace linnet {
namespace {

constexpr uint32_t kOldest = 2, kNewest = 3;
constexpr uint64_t kDefaultAlignment = 32, kMaxAlignment = 1 << 20;

/// ggml's types by their number; those that linnet does not have, with their name only.
struct GgmlType {
  uint32_t number;
  std::string_view name;
  std::optional<DType> dtype = std::nullopt;
};
constexpr GgmlType kTypes[] = {{0, "F32", DType::kF32},
                               {1, "F16", DType::kF16},
                               {2, "Q4_0", DType::kQ4_0},
                               {3, "Q4_1", DType::kQ4_1},
                               {6, "Q5_0", DType::kQ5_0},
                               {7, "Q5_1", DType::kQ5_1},
                               {8, "Q8_0", DType::kQ8_0},
                               {12, "Q4_K", DType::kQ4_K},
                               {13, "Q5_K", DType::kQ5_K},
                               {14, "Q6_K", DType::kQ6_K},
                               {26, "I32", DType::kI32},
                               {27, "I64", DType::kI64},
                               {28, "F64", DType::kF64},
                               {30, "BF16", DType::kBf16},
                               {9, "Q8_1"},
                               {10, "Q2_K"},
                               {11, "Q3_K"},
                               {15, "Q8_K"},
                               {16, "IQ2_XXS"},
                               {17, "IQ2_XS"},
                               {18, "IQ3_XXS"},
                               {19, "IQ1_S"},
                               {20, "IQ4_NL"},
                               {21, "IQ3_S"},
                               {22, "IQ2_S"},
                               {23, "IQ4_XS"},
                               {24, "I8"},
                               {25, "I16"},
                               {29, "IQ1_M"},
                               {34, "TQ1_0"},
                               {35, "TQ2_0"},
                               {39, "MXFP4"}};

DType DTypeOf(uint32_t number, const std::string& named) {
  std::string name = fmt::format("number {}", number);
  for (const GgmlType& type : kTypes) {
    if (type.number == number && type.dtype) return *type.dtype;
    if (type.number == number) name = type.name;
  }
  constexpr std::string_view kKnown = "F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K";
  Fail("{} is of ggml's type {}; linnet has {}: quantise the model to one of these", named, name, kKnown);
}

/// An array of strings or of i32; others are passed over.
struct Array {
  std::vector<std::string_view> texts;
  std::vector<int64_t> numbers;
};

enum ValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};
/// Bytes of a single value; 0 for those that say their length.
constexpr std::array<uint64_t, 13> kValueBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

std::string_view ReadString(ByteReader& reader) { return reader.TakeText(reader.Read<uint64_t>()); }

template <class T>
std::string Number(ByteReader& reader) {
  return fmt::format("{}", reader.Read<T>());
}

std::string ReadSingle(ByteReader& reader, uint32_t type) {
  switch (type) {
    case kU8:
      return Number<uint8_t>(reader);
    case kI8:
      return Number<int8_t>(reader);
    case kU16:
      return Number<uint16_t>(reader);
    case kI16:
      return Number<int16_t>(reader);
    case kU32:
      return Number<uint32_t>(reader);
    case kI32:
      return Number<int32_t>(reader);
    case kF32:
      return Number<float>(reader);
    case kBool:
      return reader.Read<uint8_t>() != 0 ? "true" : "false";
    case kString:
      return std::string(ReadString(reader));
    case kU64:
      return Number<uint64_t>(reader);
    case kI64:
      return Number<int64_t>(reader);
    case kF64:
      return Number<double>(reader);
    default:
      Fail("{}: has a value of the unknown type {} at {}", reader.where(), type, reader.at());
  }
}

Array ReadArray(ByteReader& reader) {
  const auto type = reader.Read<uint32_t>();
  const auto count = reader.Read<uint64_t>();
  Check(type < kValueBytes.size() && type != kArray,
        "{}: has an array of values of the type {} at {}, which no model needs", reader.where(), type,
        reader.at());
  const uint64_t least_bytes = type == kString ? sizeof(uint64_t) : kValueBytes[type];
  Check(count <= (reader.size() - reader.at()) / least_bytes,
        "{}: is cut short: an array at {} should have {} values", reader.where(), reader.at(), count);
  Array array;
  for (uint64_t i = 0; i < count && type == kString; ++i) array.texts.push_back(ReadString(reader));
  for (uint64_t i = 0; i < count && type == kI32; ++i) array.numbers.push_back(reader.Read<int32_t>());
  if (type != kString && type != kI32) reader.Take(count * kValueBytes[type]);
  return array;
}

class GgufCheckpoint final : public Checkpoint {
 public:
  explicit GgufCheckpoint(const MappedFile& file)
      : Checkpoint(file.path(), file.bytes().size()), file_(file) {
    ByteReader reader(file.bytes(), path_.string());
    reader.Seek(4);
    CheckVersion(reader.Read<uint32_t>());
    const auto tensors = reader.Read<uint64_t>(), values = reader.Read<uint64_t>();
    for (uint64_t i = 0; i < values; ++i) ReadValue(reader);
    CheckParts();
    for (uint64_t i = 0; i < tensors; ++i) ReadTensor(reader);
    Check(!entries_.empty(), "{}: holds no tensors: a vocabulary alone is no model", path_.string());
    PlaceTensors(reader);
    MakeVocabulary();
  }

  std::string format() const override { return "gguf"; }

  Tensor Load(const std::string& name) const override {
    const size_t i = IndexOf(name);
    return InPlaceOrCopied(file_, data_.data() + extents_[i].offset, entries_[i]);
  }

  void Forget(const std::string& name) const override {
    const Extent& extent = extents_[IndexOf(name)];
    file_.Forget(data_.subspan(extent.offset, extent.bytes));
  }

 private:
  struct Extent {
    uint64_t offset, bytes;  // from data_
  };

  void CheckVersion(uint32_t version) const {
    Check(version < 0x10000, "{}: is a big-endian GGUF file; convert it on a little-endian machine",
          path_.string());
    Check(version >= kOldest && version <= kNewest,
          "{}: is a GGUF file of version {}; linnet reads versions {} and {}: convert it with a newer "
          "llama.cpp",
          path_.string(), version, kOldest, kNewest);
  }

  void ReadValue(ByteReader& reader) {
    std::string_view name = ReadString(reader);
    if (name.starts_with(kOwnGgufKeys)) name.remove_prefix(kOwnGgufKeys.size());
    const std::string key(name);
    const auto type = reader.Read<uint32_t>();
    Check(!metadata_.contains(key) && !arrays_.contains(key), "{}: has the value {} twice", path_.string(),
          key);
    if (type == kArray) {
      arrays_[key] = ReadArray(reader);
    } else {
      metadata_[key] = ReadSingle(reader, type);
    }
  }

  void CheckParts() const {
    const auto parts = metadata_.find("split.count");
    Check(parts == metadata_.end() || parts->second == "0" || parts->second == "1",
          "{}: is one of {} parts; put them together with llama.cpp's llama-gguf-split --merge",
          path_.string(), parts == metadata_.end() ? "" : parts->second);
  }

  void ReadTensor(ByteReader& reader) {
    const std::string name(ReadString(reader));
    const std::string named = fmt::format("{}: the tensor {}", path_.string(), name);
    const auto rank = reader.Read<uint32_t>();
    Check(rank >= 1 && rank <= 4, "{} has {} extents; linnet's tensors have one to four", named, rank);
    std::array<uint64_t, 4> extents{};
    for (uint32_t i = 0; i < rank; ++i) extents[i] = reader.Read<uint64_t>();
    const DType dtype = DTypeOf(reader.Read<uint32_t>(), named);
    const GgmlSize size = SizeOfGgml(std::span(extents).first(rank), dtype, named);
    extents_.push_back({reader.Read<uint64_t>(), size.bytes});
    Add({name, size.shape, dtype});
  }

  /// The data begin at the next multiple of the alignment after the directory.
  void PlaceTensors(const ByteReader& reader) {
    uint64_t alignment = kDefaultAlignment;
    if (const auto given = metadata_.find("general.alignment"); given != metadata_.end()) {
      alignment = std::strtoull(given->second.c_str(), nullptr, 10);
      Check(std::has_single_bit(alignment) && alignment <= kMaxAlignment,
            "{}: general.alignment is {}; a power of two up to {} was expected", path_.string(),
            given->second, kMaxAlignment);
    }
    const uint64_t begin = (reader.at() + alignment - 1) / alignment * alignment;
    data_ = file_.bytes().subspan(std::min<uint64_t>(begin, file_.bytes().size()));
    for (size_t i = 0; i < entries_.size(); ++i) {
      const Extent& extent = extents_[i];
      const bool inside = extent.offset <= data_.size() && extent.bytes <= data_.size() - extent.offset;
      Check(inside, "{}: is cut short: the tensor {} should have {} bytes at {} of {}", path_.string(),
            entries_[i].name, extent.bytes, extent.offset, data_.size());
      Check(extent.offset % alignment == 0, "{}: the tensor {} begins at {}, no multiple of {}",
            path_.string(), entries_[i].name, extent.offset, alignment);
    }
    CheckOverlaps();
  }

  void CheckOverlaps() const {
    std::vector<size_t> order(entries_.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return extents_[a].offset < extents_[b].offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      const Extent &before = extents_[order[i - 1]], &here = extents_[order[i]];
      Check(before.offset + before.bytes <= here.offset, "{}: the tensors {} and {} overlap", path_.string(),
            entries_[order[i - 1]].name, entries_[order[i]].name);
    }
  }

  /// Only the World tokenizer's tokens stand for themselves; the tokens of a BPE need its merges, too.
  void MakeVocabulary() {
    constexpr int64_t kControl = 3, kUnused = 5;
    const auto model = metadata_.find("tokenizer.ggml.model");
    const auto tokens = arrays_.find("tokenizer.ggml.tokens");
    if (model != metadata_.end() && model->second == "rwkv" && tokens != arrays_.end()) {
      const std::vector<int64_t>& types = arrays_["tokenizer.ggml.token_type"].numbers;
      const auto& texts = tokens->second.texts;
      Check(types.empty() || types.size() == texts.size(), "{}: has {} tokens, but {} types of tokens",
            path_.string(), texts.size(), types.size());
      for (size_t id = 0; id < texts.size(); ++id) {
        const bool stands_for_text = types.empty() || (types[id] != kControl && types[id] != kUnused);
        vocabulary_.push_back(stands_for_text ? UnescapedToken(texts[id], path_.string()) : std::string());
      }
    }
    arrays_.clear();
  }

  MappedFile file_;
  std::span<const std::byte> data_;
  std::vector<Extent> extents_;          // beside entries_
  std::map<std::string, Array> arrays_;  // while the constructor runs
};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::unique_ptr<Checkpoint> OpenGguf(const MappedFile& file) {
  return std::make_unique<GgufCheckpoint>(file);
}

std::string UnescapedToken(std::string_view text, const std::string& where) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes += text[i];
      continue;
    }
    Check(++i < text.size(), "{}: a token of the vocabulary ends in half an escape", where);
    switch (text[i]) {
      case 't':
        bytes += '\t';
        break;
      case 'n':
        bytes += '\n';
        break;
      case 'r':
        bytes += '\r';
        break;
      case 'x': {
        const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
        const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
        Check(high >= 0 && low >= 0, "{}: a token of the vocabulary has \\x without two digits", where);
        bytes += static_cast<char>(high * 16 + low);
        i += 2;
        break;
      }
      default:
        bytes += text[i];
    }
  }
  return bytes;
}

}  // namespace linnet
