#include "formats/pth_container.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "formats/zip.h"

namespace linnet {
namespace {

using Kind = PickleValue::Kind;
using std::string_view_literals::operator""sv;

constexpr std::string_view kPickleName = "data.pkl";
constexpr uint64_t kMaxPickleBytes = 8 << 20;  // some 40000 tensors
/// The pickle of the number 0x1950A86A20F9469CFC6C, protocol 2: what a stream begins with.
constexpr std::string_view kStreamMagic = "\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19."sv;
constexpr int64_t kStreamVersion = 1001;

/// The folder around it has any name: torch takes the file's.
const ZipArchive::Member& FindPickle(const ZipArchive& archive, const std::string& where) {
  const ZipArchive::Member* found = nullptr;
  for (const auto& member : archive.members()) {
    const bool named = member.name == kPickleName ||
                       (member.name.ends_with(kPickleName) && member.name[member.name.size() - 9] == '/');
    if (!named) continue;
    Check(found == nullptr, "{}: holds two pickles, {} and {}", where, found ? found->name : "", member.name);
    found = &member;
  }
  Check(found != nullptr, "{}: is a zip archive, but not a .pth: it has no {}", where, kPickleName);
  return *found;
}

void CheckByteOrder(bool is_little, const std::string& where) {
  Check(is_little, "{}: was saved on a big-endian machine; load and save it on a little-endian one", where);
}

void CheckByteOrder(const ZipArchive& archive, const std::string& folder, const std::string& where) {
  const ZipArchive::Member* member = archive.Find(folder + "byteorder");
  if (member == nullptr) return;  // before torch 2.1
  const auto order = archive.Read(*member, 16);
  CheckByteOrder(std::string_view(reinterpret_cast<const char*>(order.data()), order.size()) == "little",
                 where);
}

/// The value of a text key; none if `dict` is no dict or has no such key.
PickleValue ValueOf(const PickleValue& dict, std::string_view key) {
  if (!dict.Is(Kind::kDict)) return {};
  const auto& items = dict.items();
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (items[i].Is(Kind::kString) && items[i].text() == key) return items[i + 1];
  }
  return {};
}

/// The bytes of one element of each storage that a pickle names: a stream does not repeat its types.
std::map<std::string_view, uint64_t> ElementBytes(const Pickle& pickle, const std::string& where) {
  std::map<std::string_view, uint64_t> bytes;
  for (const PickleNode& node : pickle.nodes) {
    const auto& id = node.items;  // ("storage", class, key, ...)
    const bool is_storage = id.size() >= 5 && id[0].Is(Kind::kString) && id[0].text() == "storage" &&
                            id[1].Is(Kind::kGlobal) && id[1].global().callee == Callee::kStorage &&
                            id[2].Is(Kind::kString);
    if (!is_storage) continue;
    const auto element = static_cast<uint64_t>(Traits(id[1].global().dtype).bytes_per_block);
    const uint64_t known = bytes.emplace(id[2].text(), element).first->second;
    Check(known == element, "{}: gives the storage {} two element types", where, id[2].text());
  }
  return bytes;
}

class StreamReader {
 public:
  explicit StreamReader(const MappedFile& file)
      : where_(file.path().string()), reader_(file.bytes(), where_) {
    reader_.Seek(kStreamMagic.size());
  }

  Pickle Next() {
    const size_t begin = reader_.at();
    const auto rest = reader_.Take(std::min<uint64_t>(kMaxPickleBytes, reader_.size() - begin));
    Pickle pickle = ReadPickle(rest, where_);
    reader_.Seek(begin + pickle.bytes);
    return pickle;
  }

  void CheckHeader() {
    const Pickle version = Next();
    Check(version.top.Is(Kind::kInt) && version.top.integer() == kStreamVersion,
          "{}: is an old .pth stream of another version than {}", where_, kStreamVersion);
    const Pickle machine = Next();
    const PickleValue little = ValueOf(machine.top, "little_endian");
    CheckByteOrder(little.Is(Kind::kBool) && little.boolean(), where_);
  }

  std::map<std::string, std::span<const std::byte>> Storages(const Pickle& pickle) {
    const auto element_bytes = ElementBytes(pickle, where_);
    const Pickle keys = Next();
    Check(keys.top.Is(Kind::kList), "{}: lacks the list of its storages", where_);
    std::map<std::string, std::span<const std::byte>> storages;
    for (const PickleValue& key : keys.top.items()) {
      Check(key.Is(Kind::kString), "{}: has a storage whose key is no text", where_);
      const auto element = element_bytes.find(key.text());
      Check(element != element_bytes.end(), "{}: has a storage {} that nothing refers to", where_,
            key.text());
      const auto elements = reader_.Read<uint64_t>();
      Check(elements <= reader_.size() / element->second,
            "{}: is cut short: the storage {} should have {} elements", where_, key.text(), elements);
      const auto data = reader_.Take(elements * element->second);
      Check(storages.emplace(key.text(), data).second, "{}: holds the storage {} twice", where_, key.text());
    }
    return storages;
  }

 private:
  std::string where_;
  ByteReader reader_;
};

}  // namespace

bool IsPthStream(std::string_view text) { return text.starts_with(kStreamMagic); }

PthContainer ReadPthArchive(const MappedFile& file) {
  const std::string where = file.path().string();
  auto archive = std::make_shared<const ZipArchive>(file);
  const ZipArchive::Member& member = FindPickle(*archive, where);
  const std::string folder(member.name.substr(0, member.name.size() - kPickleName.size()));
  CheckByteOrder(*archive, folder, where);
  PthContainer container;
  container.unpacked = archive->Read(member, kMaxPickleBytes);
  container.pickle = ReadPickle(container.unpacked, where);
  container.place = folder + "data/";
  container.storage = [archive, place = container.place](std::string_view key) {
    const ZipArchive::Member* found = archive->Find(place + std::string(key));
    return found == nullptr ? std::nullopt : std::optional(archive->InPlace(*found));
  };
  return container;
}

PthContainer ReadPthStream(const MappedFile& file) {
  StreamReader reader(file);
  reader.CheckHeader();
  PthContainer container;
  container.pickle = reader.Next();
  container.place = "storage ";
  container.storage = [file, storages = reader.Storages(container.pickle)](std::string_view key) {
    const auto found = storages.find(std::string(key));
    return found == storages.end() ? std::nullopt : std::optional(found->second);
  };
  return container;
}

}  // namespace linnet
