// The header is parsed event by event rather than into a tree: a tree would keep the last of two equal names
// and say nothing, and would cost many times the header's bytes.
#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "formats/bytes.h"

namespace linnet {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr size_t kAlignment = 64;
constexpr std::string_view kMetadata = "__metadata__";
constexpr std::string_view kQuantized = "linnet.quantized.";  // in front of a tensor's name in the metadata

struct TypeName {
  std::string_view name;
  DType dtype;
};
constexpr TypeName kTypeNames[] = {
    {"F32", DType::kF32}, {"BF16", DType::kBf16}, {"F16", DType::kF16}, {"F64", DType::kF64},
    {"I32", DType::kI32}, {"I64", DType::kI64},   {"U8", DType::kU8},
};

std::string_view NameOf(DType dtype) {
  if (IsQuantized(dtype)) return "U8";
  return std::find_if(std::begin(kTypeNames), std::end(kTypeNames),
                      [&](const TypeName& row) { return row.dtype == dtype; })
      ->name;
}

/// A tensor as its header entry describes it, unchecked.
struct Described {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape, offsets;
};

/// Receives the parser's events. depth_ counts the open brackets; the only arrays are the two lists of
/// numbers.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string where) : where_(std::move(where)) {}

  std::vector<Described> tensors;
  std::map<std::string, std::string> metadata;

  bool null() override { Unexpected("null"); }
  bool boolean(bool) override { Unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { Unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    Unexpected("the number " + text.substr(0, 40));
  }
  bool binary(binary_t&) override { Unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t number) override {
    if (depth_ != 3) Unexpected("a number");
    auto& list = field_ == "shape" ? tensors.back().shape : tensors.back().offsets;
    Check(list.size() < 4, "{}: the tensor {} has more than four {}", where_, name_,
          field_ == "shape" ? "extents" : "data_offsets");
    list.push_back(number);
    return true;
  }

  bool string(string_t& text) override {
    if (depth_ == 2 && name_ == kMetadata) {
      metadata[field_] = text;
    } else if (depth_ == 2 && field_ == "dtype") {
      tensors.back().dtype = text;
    } else {
      Unexpected("a string");
    }
    return true;
  }

  bool start_object(size_t) override {
    if (depth_ >= 2) Unexpected("an object");
    ++depth_;
    fields_.clear();
    return true;
  }

  bool start_array(size_t) override {
    if (depth_ != 2 || name_ == kMetadata || field_ == "dtype") Unexpected("a list");
    ++depth_;
    return true;
  }

  bool key(string_t& text) override {
    if (depth_ == 1) {
      Check(names_.insert(text).second, "{}: holds the tensor {} twice", where_, text);
      name_ = text;
      if (text != kMetadata) tensors.push_back({text, {}, {}, {}});
      field_.clear();
      return true;
    }
    Check(fields_.insert(text).second, "{}: the entry {} has the field {} twice", where_, name_, text);
    const bool known = name_ == kMetadata || text == "dtype" || text == "shape" || text == "data_offsets";
    Check(known, "{}: the tensor {} has an unknown field {}", where_, name_, text);
    field_ = text;
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && name_ != kMetadata) {
      Check(fields_.size() == 3, "{}: the tensor {} lacks its dtype, shape or data_offsets", where_, name_);
    }
    --depth_;
    return true;
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    Fail("{}: the header is not valid JSON at its byte {}", where_, position);
  }

 private:
  [[noreturn]] void Unexpected(const std::string& what) {
    Fail("{}: the header has {} where none belongs, in the entry '{}', field '{}'", where_, what, name_,
         field_);
  }

  std::string where_, name_, field_;
  std::set<std::string> names_, fields_;
  int depth_ = 0;
};

DType TypeOf(const Described& tensor, const std::string& where) {
  for (const TypeName& row : kTypeNames) {
    if (row.name == tensor.dtype) return row.dtype;
  }
  Fail("{}: the tensor {} has the dtype {}, which linnet does not know (F64 F32 BF16 F16 I64 I32 U8)", where,
       tensor.name, tensor.dtype);
}

/// The shape, once its elements are known to be exactly `bytes` bytes of `dtype`.
Shape ShapeOf(const Described& tensor, DType dtype, uint64_t bytes, const std::string& where) {
  Shape shape;
  int64_t product =
      Traits(dtype).bytes_per_block;  // over the extents that are not zero: Shape::size() multiplies them
  bool empty = false, fits = true;
  for (uint64_t extent : tensor.shape) {
    fits = fits && extent <= INT64_MAX &&
           !__builtin_mul_overflow(product, std::max<int64_t>(extent, 1), &product);
    empty = empty || extent == 0;
    if (fits) shape.Append(static_cast<Dim>(extent));
  }
  Check(fits, "{}: the tensor {} has more elements than any memory", where, tensor.name);
  const uint64_t wanted = empty ? 0 : static_cast<uint64_t>(product);
  Check(wanted == bytes, "{}: the tensor {} of shape {} needs {} bytes, its data_offsets span {}", where,
        tensor.name, shape, wanted, bytes);
  return shape;
}

/// Takes the metadata that give tensors block types out of `metadata`: types by the names of tensors.
std::map<std::string, DType> TakeQuantizedTypes(std::map<std::string, std::string>& metadata,
                                                const std::string& where) {
  std::map<std::string, DType> types;
  for (auto it = metadata.lower_bound(std::string(kQuantized));
       it != metadata.end() && it->first.starts_with(kQuantized); it = metadata.erase(it)) {
    const auto* row = std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const DTypeTraits& traits) {
      return traits.values_per_block > 1 && traits.name == it->second;
    });
    Check(row != std::end(kDTypes), "{}: {} is '{}', which is no block type that linnet knows", where,
          it->first, it->second.substr(0, 40));
    types[it->first.substr(kQuantized.size())] = static_cast<DType>(row - std::begin(kDTypes));
  }
  return types;
}

/// The true shape of a matrix of blocks that is stored as [rows, bytes per row] of U8.
Shape BlockShape(const Described& tensor, const Shape& stored, DType dtype, const std::string& where) {
  const DTypeTraits& traits = Traits(dtype);
  Check(tensor.dtype == "U8" && stored.rank() == 2 && stored.size() > 0 &&
            stored[1] % traits.bytes_per_block == 0,
        "{}: the tensor {} is said to be {}, so it must be U8 [rows, a multiple of {}], but is {} {}", where,
        tensor.name, traits.name, traits.bytes_per_block, tensor.dtype, stored);
  return {stored[0], stored[1] / traits.bytes_per_block * traits.values_per_block};
}

class SafetensorsCheckpoint final : public Checkpoint {
 public:
  explicit SafetensorsCheckpoint(const MappedFile& file)
      : Checkpoint(file.path(), file.bytes().size()), file_(file) {
    HeaderReader header(path_.string());
    ReadHeader(&header);
    metadata_ = std::move(header.metadata);
    const auto quantized = TakeQuantizedTypes(metadata_, path_.string());
    for (const Described& tensor : header.tensors) AddTensor(tensor, quantized);
    for (const auto& [name, type] : quantized) {
      Check(Find(name) != nullptr, "{}: the metadata call the tensor {} {}, but there is none of that name",
            path_.string(), name, Traits(type).name);
    }
    CheckCoverage(std::move(header.tensors));
  }

  std::string format() const override { return "safetensors"; }

  Tensor Load(const std::string& name) const override {
    const size_t i = IndexOf(name);
    return InPlaceOrCopied(file_, data_.data() + begins_[i], entries_[i]);
  }

  void Forget(const std::string& name) const override {
    const size_t i = IndexOf(name);
    file_.Forget(data_.subspan(begins_[i], entries_[i].bytes()));
  }

 private:
  void ReadHeader(HeaderReader* header) {
    ByteReader reader(file_.bytes(), path_.string());
    const auto header_bytes = reader.Read<uint64_t>();
    Check(header_bytes <= kMaxHeaderBytes, "{}: the header claims {} bytes, more than the format allows",
          path_.string(), header_bytes);
    const std::string_view text = reader.TakeText(header_bytes);
    data_ = file_.bytes().subspan(reader.at());
    nlohmann::json::sax_parse(text.begin(), text.end(), header);
  }

  void AddTensor(const Described& tensor, const std::map<std::string, DType>& quantized) {
    const std::string where = path_.string();
    Check(tensor.offsets.size() == 2, "{}: the tensor {} has {} data_offsets instead of 2", where,
          tensor.name, tensor.offsets.size());
    const uint64_t begin = tensor.offsets[0], end = tensor.offsets[1];
    Check(begin <= end, "{}: the tensor {} ends before it begins", where, tensor.name);
    Check(end <= data_.size(), "{}: is cut short: the tensor {} ends at byte {} of {}", where, tensor.name,
          end, data_.size());
    const DType dtype = TypeOf(tensor, where);
    begins_.push_back(begin);
    const Shape shape = ShapeOf(tensor, dtype, end - begin, where);
    const auto blocks = quantized.find(tensor.name);
    if (blocks == quantized.end()) {
      Add({tensor.name, shape, dtype});
    } else {
      Add({tensor.name, BlockShape(tensor, shape, blocks->second, where), blocks->second});
    }
  }

  /// The format wants every byte of the data to belong to exactly one tensor.
  void CheckCoverage(std::vector<Described> tensors) const {
    std::sort(tensors.begin(), tensors.end(),
              [](const Described& a, const Described& b) { return a.offsets < b.offsets; });
    uint64_t end = 0;
    for (const Described& tensor : tensors) {
      Check(tensor.offsets[0] >= end, "{}: the tensor {} overlaps another", path_.string(), tensor.name);
      Check(tensor.offsets[0] == end, "{}: there are {} stray bytes before the tensor {}", path_.string(),
            tensor.offsets[0] - end, tensor.name);
      end = tensor.offsets[1];
    }
    Check(end == data_.size(), "{}: there are {} stray bytes after the last tensor", path_.string(),
          data_.size() - end);
  }

  MappedFile file_;
  std::span<const std::byte> data_;
  std::vector<uint64_t> begins_;  // beside entries_: where in data_ each tensor starts
};

std::string Quoted(const std::filesystem::path& path, const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    Fail("{}: cannot be written: a name or a metadata string is not UTF-8", path.string());
  }
}

/// "[2,3]"; of a matrix of blocks the rows and the bytes of each.
std::string StoredShape(const std::filesystem::path& path, const Checkpoint::Entry& entry) {
  Shape shape = entry.shape;
  if (IsQuantized(entry.dtype)) {
    const DTypeTraits& traits = Traits(entry.dtype);
    Check(shape.rank() == 2 && shape.size() > 0 && shape[1] % traits.values_per_block == 0,
          "{}: cannot be written: the tensor {} {} is not made of rows of whole {} blocks", path.string(),
          entry.name, shape, traits.name);
    shape = {shape[0], shape[1] / traits.values_per_block * traits.bytes_per_block};
  }
  std::string text = shape.ToString();
  std::erase(text, ' ');
  return text;
}

std::string MakeHeader(const std::filesystem::path& path, const Contents& contents) {
  auto metadata = contents.metadata;
  for (const auto& entry : contents.entries) {
    if (IsQuantized(entry.dtype)) metadata[std::string(kQuantized) + entry.name] = Traits(entry.dtype).name;
  }
  std::string text = "{";
  std::string separator;
  if (!metadata.empty()) {
    text += fmt::format("\"{}\":{{", kMetadata);
    for (const auto& [key, value] : metadata) {
      text += separator + Quoted(path, key) + ":" + Quoted(path, value);
      separator = ",";
    }
    text += "}";
  }
  std::set<std::string> names = {std::string(kMetadata)};  // reserved
  size_t end = 0;
  for (const auto& entry : contents.entries) {
    Check(names.insert(entry.name).second, "{}: cannot be written: the name {} is taken", path.string(),
          entry.name);
    const size_t begin = end;
    end += entry.bytes();
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}", separator,
                        Quoted(path, entry.name), NameOf(entry.dtype), StoredShape(path, entry), begin, end);
    separator = ",";
  }
  text += "}";
  text.resize((text.size() + sizeof(uint64_t) + kAlignment - 1) / kAlignment * kAlignment - sizeof(uint64_t),
              ' ');
  return text;
}

}  // namespace

std::unique_ptr<Checkpoint> OpenSafetensors(const MappedFile& file) {
  return std::make_unique<SafetensorsCheckpoint>(file);
}

void WriteSafetensors(const std::filesystem::path& path, const Contents& contents) {
  const std::string header = MakeHeader(path, contents);
  Check(header.size() <= kMaxHeaderBytes,
        "{}: cannot be written: the header of {} bytes is more than the format allows", path.string(),
        header.size());
  const uint64_t header_bytes = header.size();
  AtomicFile file(path);
  file.Write(std::as_bytes(std::span(&header_bytes, 1)));
  file.Write(header);
  for (size_t i = 0; i < contents.entries.size(); ++i) file.Write(BytesOf(contents.Load(i, path)));
  file.Commit();
}

Contents ContentsOf(std::vector<NamedTensor> tensors, const std::map<std::string, std::string>& metadata) {
  Contents contents;
  for (const auto& [name, tensor] : tensors) {
    Check(static_cast<bool>(tensor), "[safetensors] the tensor {} is null", name);
    contents.entries.push_back({name, tensor.shape(), tensor.dtype()});
  }
  contents.load = [tensors = std::move(tensors)](size_t i) { return tensors[i].tensor; };
  contents.metadata = metadata;
  return contents;
}

void WriteSafetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata) {
  WriteSafetensors(path, ContentsOf(tensors, metadata));
}

}  // namespace linnet
