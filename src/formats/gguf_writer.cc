#include "formats/gguf_writer.h"

#include <set>

namespace linnet {
namespace {

constexpr uint32_t kVersion = 3;
constexpr size_t kAlignment = 32;
/// The types of values, as they stand in GgufValue.
constexpr uint32_t kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9;

/// ggml's number of a type.
uint32_t TypeNumber(const std::filesystem::path& path, const Checkpoint::Entry& entry) {
  switch (entry.dtype) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ4_1:
      return 3;
    case DType::kQ5_0:
      return 6;
    case DType::kQ5_1:
      return 7;
    case DType::kQ8_0:
      return 8;
    case DType::kQ4_K:
      return 12;
    case DType::kQ5_K:
      return 13;
    case DType::kQ6_K:
      return 14;
    case DType::kI32:
      return 26;
    case DType::kI64:
      return 27;
    case DType::kF64:
      return 28;
    case DType::kBf16:
      return 30;
    case DType::kU8:
      break;
  }
  Fail("{}: cannot be written: GGUF has no type for the tensor {} of {}", path.string(), entry.name,
       Traits(entry.dtype).name);
}

template <class T>
void Append(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void AppendText(std::string& text, const std::string& value) {
  Append<uint64_t>(text, value.size());
  text += value;
}

/// Appends the type and the value.
struct ValueWriter {
  std::string& text;

  void operator()(uint32_t value) const { Number(kUint32, value); }
  void operator()(float value) const { Number(kFloat32, value); }
  void operator()(bool value) const { Number(kBool, static_cast<uint8_t>(value)); }
  void operator()(const std::string& value) const {
    Append(text, kString);
    AppendText(text, value);
  }
  void operator()(const std::vector<std::string>& values) const {
    Array(kString, values.size());
    for (const std::string& value : values) AppendText(text, value);
  }
  void operator()(const std::vector<int32_t>& values) const {
    Array(kInt32, values.size());
    for (int32_t value : values) Append(text, value);
  }

 private:
  template <class T>
  void Number(uint32_t type, T value) const {
    Append(text, type);
    Append(text, value);
  }
  void Array(uint32_t type, uint64_t size) const {
    Append(text, kArray);
    Append(text, type);
    Append(text, size);
  }
};

size_t PaddingAfter(size_t bytes) { return (kAlignment - bytes % kAlignment) % kAlignment; }

std::string MakeHeader(const std::filesystem::path& path, const GgufValues& values,
                       const Contents& contents) {
  std::string text = "GGUF";
  Append(text, kVersion);
  Append<uint64_t>(text, contents.entries.size());
  Append<uint64_t>(text, values.size());
  for (const auto& [key, value] : values) {
    AppendText(text, key);
    std::visit(ValueWriter{text}, value);
  }
  std::set<std::string> names;
  uint64_t at = 0;
  for (const Checkpoint::Entry& entry : contents.entries) {
    Check(names.insert(entry.name).second, "{}: cannot be written: the name {} is taken", path.string(),
          entry.name);
    AppendText(text, entry.name);
    Append(text, static_cast<uint32_t>(entry.shape.rank()));
    for (int i = entry.shape.rank() - 1; i >= 0; --i) Append<uint64_t>(text, entry.shape[i]);
    Append(text, TypeNumber(path, entry));
    Append(text, at);
    const size_t bytes = entry.bytes();
    at += bytes + PaddingAfter(bytes);
  }
  text.append(PaddingAfter(text.size()), '\0');
  return text;
}

}  // namespace

void WriteGguf(const std::filesystem::path& path, const GgufValues& values, const Contents& contents) {
  const std::string header = MakeHeader(path, values, contents);
  AtomicFile file(path);
  file.Write(header);
  for (size_t i = 0; i < contents.entries.size(); ++i) {
    const Tensor tensor = contents.Load(i, path);
    file.Write(BytesOf(tensor));
    file.Write(std::string(PaddingAfter(tensor.bytes()), '\0'));
  }
  file.Commit();
}

}  // namespace linnet
