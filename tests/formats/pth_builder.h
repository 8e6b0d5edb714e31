// Writes zip archives and pickles byte by byte, right and wrong ones, for the tests and the fuzzers' seeds.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace linnet {

/// The little-endian bytes of a number.
template <class T>
std::string Bytes(T value) {
  std::string text(sizeof value, '\0');
  std::memcpy(text.data(), &value, sizeof value);
  return text;
}

template <class T>
std::string Values(std::initializer_list<T> values) {
  std::string text;
  for (T value : values) text += Bytes(value);
  return text;
}

/// A file called `name` that lies in memory, at an address divisible by 64.
inline MappedFile InMemory(const std::string& text, const std::string& name = "test-file") {
  constexpr size_t kAlignment = 64;
  auto storage = std::make_shared<std::vector<std::byte>>(text.size() + kAlignment);
  const size_t misaligned = reinterpret_cast<uintptr_t>(storage->data()) % kAlignment;
  std::byte* begin = storage->data() + (kAlignment - misaligned) % kAlignment;
  std::memcpy(begin, text.data(), text.size());
  return MappedFile(name, storage, {begin, text.size()});
}

// ---- zip ----

class ZipWriter {
 public:
  struct Options {
    bool deflate = false;
    bool zip64 = false;       // sizes and position in the extra field
    uint16_t flags = 0x0808;  // as torch: sizes follow the data, names are UTF-8
    int method = -1;          // what to claim; -1: the truth
    int64_t bytes = -1;       // the uncompressed size to claim; -1: the truth
    size_t alignment = 64;
    uint16_t disk = 0;
  };

  void Add(const std::string& name, const std::string& content) { Add(name, content, Options()); }

  void Add(const std::string& name, const std::string& content, const Options& options) {
    const std::string stored = options.deflate ? Deflated(content) : content;
    const auto method = static_cast<uint16_t>(options.method >= 0 ? options.method : options.deflate ? 8 : 0);
    const uint64_t bytes = options.bytes >= 0 ? static_cast<uint64_t>(options.bytes) : content.size();
    const uint64_t at = file_.size();
    constexpr size_t kHeaderBytes = 30;
    const size_t data_at = at + kHeaderBytes + name.size();
    const size_t padding = (options.alignment - data_at % options.alignment) % options.alignment;
    file_ += "PK\3\4" + Bytes<uint16_t>(0) + Bytes(options.flags) + Bytes(method) + std::string(16, '\0') +
             Bytes(static_cast<uint16_t>(name.size())) + Bytes(static_cast<uint16_t>(padding)) + name +
             std::string(padding, 'Z') + stored;
    const std::string extra = !options.zip64 ? ""
                                             : Bytes<uint16_t>(1) + Bytes<uint16_t>(24) + Bytes(bytes) +
                                                   Bytes<uint64_t>(stored.size()) + Bytes(at);
    const auto small = [&](uint64_t value) {
      return Bytes(options.zip64 ? UINT32_MAX : static_cast<uint32_t>(value));
    };
    directory_ += "PK\1\2" + Bytes<uint32_t>(0) + Bytes(options.flags) + Bytes(method) +
                  std::string(8, '\0') + small(stored.size()) + small(bytes) +
                  Bytes(static_cast<uint16_t>(name.size())) + Bytes(static_cast<uint16_t>(extra.size())) +
                  Bytes<uint16_t>(0) + Bytes(options.disk) + std::string(6, '\0') + small(at) + name + extra;
    ++members_;
  }

  /// The archive, its directory's end in the 64-bit form if asked for.
  std::string Finish(bool zip64 = false, const std::string& comment = "") const {
    const uint64_t at = file_.size(), bytes = directory_.size();
    std::string file = file_ + directory_;
    if (zip64) {
      const uint64_t end_at = file.size();
      file += "PK\6\6" + Bytes<uint64_t>(44) + Bytes<uint32_t>(0) + std::string(8, '\0') +
              Bytes<uint64_t>(members_) + Bytes<uint64_t>(members_) + Bytes(bytes) + Bytes(at);
      file += "PK\6\7" + Bytes<uint32_t>(0) + Bytes(end_at) + Bytes<uint32_t>(1);
    }
    const auto count = static_cast<uint16_t>(zip64 ? 0xFFFF : members_);
    return file + "PK\5\6" + Bytes<uint32_t>(0) + Bytes(count) + Bytes(count) +
           Bytes(zip64 ? UINT32_MAX : static_cast<uint32_t>(bytes)) +
           Bytes(zip64 ? UINT32_MAX : static_cast<uint32_t>(at)) +
           Bytes(static_cast<uint16_t>(comment.size())) + comment;
  }

 private:
  static std::string Deflated(const std::string& content) {
    std::string out(compressBound(content.size()) + 64, '\0');
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
    stream.avail_in = static_cast<uInt>(content.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
  }

  std::string file_, directory_;
  size_t members_ = 0;
};

// ---- pickle: each function returns the opcodes that leave one value on the stack ----

namespace pkl {

inline std::string Text(const std::string& text) {
  return "X" + Bytes(static_cast<uint32_t>(text.size())) + text;
}
inline std::string Int(int32_t value) { return "J" + Bytes(value); }
inline std::string Long(int64_t value) { return "\x8A\x08" + Bytes(value); }
inline std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string Tuple(const std::vector<std::string>& items) {
  std::string text = "(";
  for (const std::string& item : items) text += item;
  return text + "t";
}

inline std::string Ints(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (int64_t value : values) items.push_back(Long(value));
  return Tuple(items);
}

inline std::string Call(const std::string& callee, const std::vector<std::string>& arguments) {
  return callee + Tuple(arguments) + "R";
}

using Items = std::vector<std::pair<std::string, std::string>>;  // names and values

inline std::string WithItems(const std::string& dict, const Items& items) {
  std::string text = dict + "(";
  for (const auto& [name, value] : items) text += Text(name) + value;
  return text + "u";
}
inline std::string Dict(const Items& items) { return WithItems("}", items); }
inline std::string OrderedDict(const Items& items) {
  return WithItems(Global("collections", "OrderedDict") + ")R", items);
}

inline std::string Storage(const std::string& type, const std::string& key, int64_t elements,
                           const std::string& device = "cpu") {
  return Tuple({Text("storage"), Global("torch", type), Text(key), Text(device), Long(elements)}) + "Q";
}

/// As in a stream: with a None behind.
inline std::string StreamStorage(const std::string& type, const std::string& key, int64_t elements) {
  return Tuple({Text("storage"), Global("torch", type), Text(key), Text("cpu"), Long(elements), "N"}) + "Q";
}

inline std::string Tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& sizes,
                          const std::vector<int64_t>& strides) {
  return Call(Global("torch._utils", "_rebuild_tensor_v2"),
              {storage, Long(offset), Ints(sizes), Ints(strides), "\x89",
               Global("collections", "OrderedDict") + ")R"});
}

inline std::string Parameter(const std::string& tensor) {
  return Call(Global("torch._utils", "_rebuild_parameter"),
              {tensor, "\x88", Global("collections", "OrderedDict") + ")R"});
}

inline std::string Program(const std::string& value) { return "\x80\x02" + value + "."; }

inline const std::string kStreamMagic = "\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";

struct StreamItem {
  std::string key;
  uint64_t elements;
  std::string bytes;
};
using StreamItems = std::vector<StreamItem>;

}  // namespace pkl

/// A .pth: the pickle of `value`, and storages by key.
inline std::string Pth(const std::string& value, const pkl::Items& storages,
                       const std::string& folder = "archive") {
  ZipWriter zip;
  zip.Add(folder + "/data.pkl", pkl::Program(value));
  for (const auto& [key, bytes] : storages) zip.Add(folder + "/data/" + key, bytes);
  zip.Add(folder + "/version", "3\n");
  return zip.Finish();
}

struct PthStreamOptions {
  int32_t version = 1001;
  std::string little_endian = "\x88";
};

/// A .pth as torch wrote it before version 1.6: pickles, then storages.
inline std::string PthStream(const std::string& value, const pkl::StreamItems& storages,
                             const PthStreamOptions& options = PthStreamOptions()) {
  std::string keys = "](", data;
  for (const auto& [key, elements, bytes] : storages) {
    keys += pkl::Text(key);
    data += Bytes(elements) + bytes;
  }
  const std::string machine = pkl::Dict({{"protocol_version", pkl::Int(options.version)},
                                         {"little_endian", options.little_endian},
                                         {"type_sizes", pkl::Dict({{"int", pkl::Int(4)}})}});
  return pkl::Program(pkl::kStreamMagic) + pkl::Program(pkl::Int(options.version)) + pkl::Program(machine) +
         pkl::Program(value) + pkl::Program(keys + "e") + data;
}

// ---- safetensors ----

inline std::string SafetensorsFile(const std::string& header, const std::string& data) {
  return Bytes<uint64_t>(header.size()) + header + data;
}

}  // namespace linnet
