#include "formats/rwkv_cpp.h"

#include <array>
#include <optional>

#include "formats/bytes.h"
#include "formats/ggml.h"

namespace linnet {
namespace {

constexpr uint32_t kFirstVersion = 100, kVersion = 101, kMaxNameBytes = 256;

/// By the format's numbers; those that rwkv.cpp has given up are empty.
struct RwkvCppType {
  std::string_view name;
  std::optional<DType> dtype = std::nullopt;
};
constexpr RwkvCppType kTypes[] = {
    {"FP32", DType::kF32},
    {"FP16", DType::kF16},
    {"Q4_0", DType::kQ4_0},
    {"Q4_1", DType::kQ4_1},
    {"Q4_1_O"},
    {"Q4_2"},
    {"Q4_3"},
    {"Q5_0", DType::kQ5_0},
    {"Q5_1", DType::kQ5_1},
    {"Q8_0", DType::kQ8_0},
};

class RwkvCppCheckpoint final : public Checkpoint {
 public:
  explicit RwkvCppCheckpoint(const MappedFile& file)
      : Checkpoint(file.path(), file.bytes().size()), file_(file) {
    ByteReader reader(file.bytes(), path_.string());
    reader.Seek(sizeof(uint32_t));
    version_ = reader.Read<uint32_t>();
    Check(version_ == kFirstVersion || version_ == kVersion,
          "{}: is an rwkv.cpp file of version {}; linnet reads versions {} and {}", path_.string(), version_,
          kFirstVersion, kVersion);
    const auto vocab = reader.Read<uint32_t>(), width = reader.Read<uint32_t>();
    const auto layers = reader.Read<uint32_t>();
    metadata_["rwkv.cpp.type"] = std::string(TypeOf(reader.Read<uint32_t>(), path_.string()).name);
    while (reader.at() < reader.size()) ReadTensor(reader);
    CheckSizes(vocab, width, layers);
  }

  std::string format() const override { return "rwkv.cpp"; }

  Tensor Load(const std::string& name) const override {
    const size_t i = IndexOf(name);
    return InPlaceOrCopied(file_, data_[i], entries_[i]);
  }

  void Forget(const std::string& name) const override {
    const size_t i = IndexOf(name);
    file_.Forget({data_[i], entries_[i].bytes()});
  }

 private:
  const RwkvCppType& TypeOf(uint32_t number, const std::string& named) const {
    Check(number < std::size(kTypes), "{}: is of the unknown type {}", named, number);
    const RwkvCppType& type = kTypes[number];
    Check(type.dtype.has_value(),
          "{}: is of the type {}, which rwkv.cpp itself has given up: convert the .pth anew", named,
          type.name);
    Check(version_ == kVersion || !IsQuantized(*type.dtype),
          "{}: has {} as it was before May 2023 (version 100), which rwkv.cpp reads no more: quantise the "
          "model anew",
          named, type.name);
    return type;
  }

  void ReadTensor(ByteReader& reader) {
    const auto rank = reader.Read<uint32_t>(), name_bytes = reader.Read<uint32_t>();
    const auto type = reader.Read<uint32_t>();
    Check(rank >= 1 && rank <= 3, "{}: the tensor before byte {} has {} extents; one to three were expected",
          path_.string(), reader.at(), rank);
    Check(name_bytes <= kMaxNameBytes, "{}: the tensor before byte {} has a name of {} bytes", path_.string(),
          reader.at(), name_bytes);
    std::array<uint64_t, 3> extents{};
    for (uint32_t i = 0; i < rank; ++i) extents[i] = reader.Read<uint32_t>();
    const std::string name(reader.TakeText(name_bytes));
    const std::string named = fmt::format("{}: the tensor {}", path_.string(), name);
    const DType dtype = *TypeOf(type, named).dtype;
    const GgmlSize size = SizeOfGgml(std::span(extents).first(rank), dtype, named);
    data_.push_back(reader.Take(size.bytes).data());
    Add({name, size.shape, dtype});
  }

  void CheckSizes(uint32_t vocab, uint32_t width, uint32_t layers) const {
    const Entry* embedding = Find("emb.weight");
    Check(embedding != nullptr, "{}: the tensor emb.weight is missing", path_.string());
    const Shape expected = {vocab, width};
    Check(embedding->shape == expected, "{}: emb.weight must be {}, as the file's head says, but is {}",
          path_.string(), expected, embedding->shape);
    const auto has = [&](uint64_t layer) {
      return Find(fmt::format("blocks.{}.ln1.weight", layer)) != nullptr;
    };
    Check(layers > 0 && has(layers - 1) && !has(layers),
          "{}: the file's head speaks of {} layers, its tensors do not", path_.string(), layers);
  }

  MappedFile file_;
  uint32_t version_ = 0;
  std::vector<const std::byte*> data_;  // beside entries_
};

}  // namespace

std::unique_ptr<Checkpoint> OpenRwkvCpp(const MappedFile& file) {
  return std::make_unique<RwkvCppCheckpoint>(file);
}

}  // namespace linnet
