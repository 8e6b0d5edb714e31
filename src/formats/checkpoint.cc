#include "formats/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "formats/gguf.h"
#include "formats/names.h"
#include "formats/pth.h"
#include "formats/pth_container.h"
#include "formats/rwkv_cpp.h"
#include "formats/safetensors.h"
#include "formats/sharded.h"

namespace linnet {
namespace {

using std::string_view_literals::operator""sv;

/// What is copied at a time before the pages that it came from are let go.
constexpr size_t kPieceBytes = 1 << 22;

bool IsZip(std::string_view text) { return text.starts_with("PK\3\4"sv); }
/// The bytes of a header length below 2^40, then the header's brace.
bool IsSafetensors(std::string_view text) {
  return text.size() > 8 && text.substr(5, 3) == "\0\0\0"sv && text[8] == '{';
}
bool IsGguf(std::string_view text) { return text.starts_with("GGUF"sv); }
bool IsRwkvCpp(std::string_view text) { return text.starts_with("fmgg"sv); }

/// One row a format. Safetensors come first, as the length of a header may happen to begin with another
/// format's bytes.
struct Format {
  bool (*matches)(std::string_view text);
  std::unique_ptr<Checkpoint> (*open)(const MappedFile& file);
};
constexpr Format kFormats[] = {{IsSafetensors, OpenSafetensors},
                               {IsZip, OpenPth},
                               {IsPthStream, OpenPth},
                               {IsGguf, OpenGguf},
                               {IsRwkvCpp, OpenRwkvCpp}};

std::string_view TextOf(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

std::unique_ptr<Checkpoint> OpenOneFile(const MappedFile& file) {
  const std::string_view text = TextOf(file);
  for (const Format& format : kFormats) {
    if (format.matches(text)) return format.open(file);
  }
  Fail("{}: is not a model file that linnet knows: it opens safetensors, .pth, GGUF and rwkv.cpp's .bin",
       file.path().string());
}

}  // namespace

std::unique_ptr<Checkpoint> Checkpoint::Open(const std::filesystem::path& path) {
  return Open(MappedFile(ModelIn(path)));
}

std::unique_ptr<Checkpoint> Checkpoint::Open(const MappedFile& file) {
  return WithPublishedNames(OpenAsStored(file));
}

std::unique_ptr<Checkpoint> Checkpoint::OpenAsStored(const MappedFile& file) {
  const bool is_index = !IsSafetensors(TextOf(file)) && IsShardIndex(TextOf(file));
  return is_index ? OpenSharded(file, OpenOneFile) : OpenOneFile(file);
}

const Checkpoint::Entry* Checkpoint::Find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

void Checkpoint::Add(Entry entry) {
  const bool is_new = index_.emplace(entry.name, entries_.size()).second;
  Check(is_new, "{}: holds the tensor {} twice", path_.string(), entry.name);
  entries_.push_back(std::move(entry));
}

size_t Checkpoint::IndexOf(const std::string& name) const {
  const auto found = index_.find(name);
  Check(found != index_.end(), "{}: holds no tensor called {}", path_.string(), name);
  return found->second;
}

Tensor Checkpoint::InPlaceOrCopied(const MappedFile& file, const std::byte* data, const Entry& entry) {
  // Blocks are read byte by byte.
  const int64_t alignment = IsQuantized(entry.dtype) ? 1 : Traits(entry.dtype).bytes_per_block;
  if (reinterpret_cast<uintptr_t>(data) % static_cast<size_t>(alignment) == 0) {
    return Tensor::Wrap(file.owner(), data, entry.shape, entry.dtype);
  }
  Tensor copy = Tensor::Empty(entry.shape, entry.dtype);
  // By pieces, each of which is let go: a large tensor is hardly ever in memory twice.
  for (size_t at = 0; at < copy.bytes(); at += kPieceBytes) {
    const size_t bytes = std::min(kPieceBytes, copy.bytes() - at);
    std::memcpy(static_cast<std::byte*>(copy.raw()) + at, data + at, bytes);
    file.Forget({data + at, bytes});
  }
  file.Forget({data, copy.bytes()});  // with the pages that lie across the borders of pieces
  return copy;
}

}  // namespace linnet
