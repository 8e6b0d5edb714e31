#include "formats/checkpoint.h"

#include <string_view>
#include <utility>

#include "formats/pth.h"
#include "formats/safetensors.h"

namespace linnet {
namespace {

using std::string_view_literals::operator""sv;

// Formats that are recognised only to be refused by name. An old torch stream begins with a pickled number of
// ten bytes.
struct KnownStranger {
  std::string_view magic, name, remedy;
};
constexpr KnownStranger kStrangers[] = {
    {"GGUF"sv, "a GGUF file", "use the .pth or .safetensors that it was made from"},
    {"fmgg"sv, "an rwkv.cpp ggml file", "use the .pth that it was made from"},
    {"\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19"sv,
     "an old .pth, as torch wrote before version 1.6", "load it in a newer torch and save it again"},
};

}  // namespace

std::unique_ptr<Checkpoint> Checkpoint::Open(const std::filesystem::path& path) {
  return Open(MappedFile(path));
}

std::unique_ptr<Checkpoint> Checkpoint::Open(const MappedFile& file) {
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (text.starts_with("PK\3\4"sv)) return OpenPth(file);
  // The bytes of a header length below 2^40, then the header's brace. Looked for before the strangers, as the
  // length of a header may happen to begin with a stranger's bytes.
  if (text.size() > 8 && text.substr(5, 3) == "\0\0\0"sv && text[8] == '{') return OpenSafetensors(file);
  constexpr std::string_view kOpens = "this version opens safetensors and zip .pth";
  for (const KnownStranger& stranger : kStrangers) {
    Check(!text.starts_with(stranger.magic), "{}: is {}: {}; {}", file.path().string(), stranger.name, kOpens,
          stranger.remedy);
  }
  Fail("{}: is not a model file that linnet knows: {}", file.path().string(), kOpens);
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

}  // namespace linnet
