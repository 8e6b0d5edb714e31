// Writes what torch.save writes: a zip archive whose member data.pkl is a pickle of a dict of tensors, and
// one stored member a tensor, each at a multiple of 64 bytes.
#include <zlib.h>

#include "formats/pth.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;
constexpr uint16_t kVersion = 45;           // of the zip format: with 64-bit sizes
constexpr uint16_t kNamesAreUtf8 = 0x0800;  // general purpose bit 11
constexpr uint32_t kIn64BitField = UINT32_MAX;
const char* const kFolder = "archive/";

template <class T>
void Append(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Members go to the file as they are added, the directory follows at the end.
class ZipWriter {
 public:
  explicit ZipWriter(AtomicFile* file) : file_(file) {}

  void Add(const std::string& name, std::span<const std::byte> content) {
    const auto checksum = static_cast<uint32_t>(
        crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(content.data()), content.size()));
    const bool large = content.size() >= kIn64BitField;
    std::string sizes;
    if (large) {
      Append<uint16_t>(sizes, 1);  // the field of 64-bit sizes
      Append<uint16_t>(sizes, 16);
      Append<uint64_t>(sizes, content.size());
      Append<uint64_t>(sizes, content.size());
    }
    const uint64_t at = at_;
    const uint32_t short_size = large ? kIn64BitField : static_cast<uint32_t>(content.size());
    std::string header = "PK\3\4" + Common(checksum, short_size, short_size, name);
    // Padding is a field of its own, as torch has it: FB, its length, Z...
    constexpr size_t kFieldHeader = 4;
    const size_t unpadded =
        at_ + header.size() + sizeof(uint16_t) + name.size() + sizes.size() + kFieldHeader;
    const size_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
    Append(header, static_cast<uint16_t>(sizes.size() + kFieldHeader + padding));
    header += name + sizes + "FB";
    Append(header, static_cast<uint16_t>(padding));
    header.append(padding, 'Z');
    Write(header);
    file_->Write(content);
    at_ += content.size();
    AddToDirectory(name, checksum, content.size(), at);
  }

  void Finish() {
    const uint64_t at = at_, bytes = directory_.size();
    Write(directory_);
    std::string end = "PK\6\6";
    Append<uint64_t>(end, 44);  // bytes of this record that follow
    Append(end, kVersion);
    Append(end, kVersion);
    Append<uint64_t>(end, 0);  // the numbers of this and the first disk
    for (uint64_t number : {members_, members_, bytes, at}) Append(end, number);
    end += "PK\6\7";
    Append<uint32_t>(end, 0);
    Append<uint64_t>(end, at_);
    Append<uint32_t>(end, 1);  // disks
    end += "PK\5\6";
    Append<uint32_t>(end, 0);
    const auto members = static_cast<uint16_t>(std::min<uint64_t>(members_, UINT16_MAX));
    Append(end, members);
    Append(end, members);
    Append(end, static_cast<uint32_t>(std::min<uint64_t>(bytes, kIn64BitField)));
    Append(end, static_cast<uint32_t>(std::min<uint64_t>(at, kIn64BitField)));
    Append<uint16_t>(end, 0);  // no comment
    Write(end);
  }

 private:
  /// What a member's header and its entry in the directory share, from the version on.
  static std::string Common(uint32_t checksum, uint32_t stored_bytes, uint32_t bytes,
                            const std::string& name) {
    std::string text;
    Append(text, kVersion);
    Append(text, kNamesAreUtf8);
    Append<uint16_t>(text, 0);           // not compressed
    Append<uint16_t>(text, 0);           // midnight of
    Append<uint16_t>(text, 1 << 5 | 1);  // the first of January 1980: files do not depend on the day
    Append(text, checksum);
    Append(text, stored_bytes);
    Append(text, bytes);
    Append(text, static_cast<uint16_t>(name.size()));
    return text;
  }

  void AddToDirectory(const std::string& name, uint32_t checksum, uint64_t bytes, uint64_t at) {
    std::string fields;
    for (uint64_t value : {bytes, bytes, at}) {
      if (value >= kIn64BitField) Append(fields, value);
    }
    const auto small = [](uint64_t value) {
      return static_cast<uint32_t>(std::min<uint64_t>(value, kIn64BitField));
    };
    directory_ += "PK\1\2";
    Append(directory_, kVersion);
    directory_ += Common(checksum, small(bytes), small(bytes), name);
    Append(directory_, static_cast<uint16_t>(fields.empty() ? 0 : fields.size() + 4));
    directory_.append(10, '\0');  // comment, disk, attributes
    Append(directory_, small(at));
    directory_ += name;
    if (!fields.empty()) {
      Append<uint16_t>(directory_, 1);
      Append(directory_, static_cast<uint16_t>(fields.size()));
      directory_ += fields;
    }
    ++members_;
  }

  void Write(const std::string& text) {
    file_->Write(text);
    at_ += text.size();
  }

  AtomicFile* file_;
  std::string directory_;
  uint64_t at_ = 0, members_ = 0;
};

// -- The pickle, protocol 2; Python's pickletools documents the opcodes.

std::string Text(const std::string& text) {
  std::string code = "X";
  Append(code, static_cast<uint32_t>(text.size()));
  return code + text;
}

std::string Int(int64_t value) {
  std::string code;
  if (value >= 0 && value <= INT32_MAX) {
    code = "J";
    Append(code, static_cast<int32_t>(value));
  } else {
    code = "\x8A\x08";
    Append(code, value);
  }
  return code;
}

std::string Tuple(const std::string& items) { return "(" + items + "t"; }

std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

/// The class of a storage. Throws Error for types that torch has no class for.
std::string StorageClass(const std::filesystem::path& path, const Checkpoint::Entry& entry) {
  Check(!IsQuantized(entry.dtype),
        "{}: a .pth cannot hold {}: torch has no such type; write a .gguf or .safetensors, or choose --dtype "
        "bf16",
        path.string(), Traits(entry.dtype).name);
  const char* const name = [&] {
    switch (entry.dtype) {
      case DType::kF32:
        return "FloatStorage";
      case DType::kBf16:
        return "BFloat16Storage";
      case DType::kF16:
        return "HalfStorage";
      case DType::kF64:
        return "DoubleStorage";
      case DType::kI32:
        return "IntStorage";
      case DType::kI64:
        return "LongStorage";
      default:
        return "ByteStorage";
    }
  }();
  return Global("torch", name);
}

/// A call of torch's _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks).
std::string TensorCode(const std::filesystem::path& path, const Checkpoint::Entry& entry,
                       const std::string& key) {
  const Shape& shape = entry.shape;
  std::string extents, strides;
  Dim stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    extents.insert(0, Int(shape[i]));
    strides.insert(0, Int(stride));
    stride *= std::max<Dim>(shape[i], 1);
  }
  const std::string storage =
      Tuple(Text("storage") + StorageClass(path, entry) + Text(key) + Text("cpu") + Int(shape.size())) + "Q";
  const std::string no_hooks = Global("collections", "OrderedDict") + ")R";
  return Global("torch._utils", "_rebuild_tensor_v2") +
         Tuple(storage + Int(0) + Tuple(extents) + Tuple(strides) + "\x89" + no_hooks) + "R";
}

std::string PickleOf(const std::filesystem::path& path, const std::vector<Checkpoint::Entry>& entries) {
  std::string code = "\x80\x02}(";  // protocol 2, a dict, its items
  for (size_t i = 0; i < entries.size(); ++i) {
    code += Text(entries[i].name) + TensorCode(path, entries[i], std::to_string(i));
  }
  return code + "u.";
}

std::span<const std::byte> AsBytes(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

void WritePth(const std::filesystem::path& path, const Contents& contents) {
  const std::string pickle = PickleOf(path, contents.entries);
  AtomicFile file(path);
  ZipWriter zip(&file);
  const std::string folder = kFolder;
  zip.Add(folder + "data.pkl", AsBytes(pickle));
  zip.Add(folder + "byteorder", AsBytes("little"));
  for (size_t i = 0; i < contents.entries.size(); ++i) {
    zip.Add(folder + "data/" + std::to_string(i), BytesOf(contents.Load(i, path)));
  }
  zip.Add(folder + "version", AsBytes("3\n"));
  zip.Finish();
  file.Commit();
}

}  // namespace linnet
