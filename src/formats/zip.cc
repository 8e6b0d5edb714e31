#include "formats/zip.h"

#include <zlib.h>

#include <algorithm>

namespace linnet {
namespace {

constexpr uint32_t kLocalHeader = 0x04034B50, kEntry = 0x02014B50, kEnd = 0x06054B50;
constexpr uint32_t kZip64End = 0x06064B50, kZip64Locator = 0x07064B50;
constexpr size_t kEndBytes = 22, kLocatorBytes = 20, kEntryBytes = 46, kMaxComment = 0xFFFF;
constexpr uint16_t kStored = 0, kDeflated = 8, kEncrypted = 1, kZip64Extra = 1;
constexpr uint64_t kMaxInflation = 64;  // honest pickles shrink to a tenth; a bomb grows a thousandfold

/// Replaces the saturated ones of {bytes, stored bytes, header position} by their 64-bit values from the
/// extra fields.
void ApplyZip64(std::span<const std::byte> extra, const std::string& where,
                std::initializer_list<uint64_t*> values) {
  ByteReader reader(extra, where);
  while (reader.size() - reader.at() >= 4) {
    const auto id = reader.Read<uint16_t>();
    const auto field = reader.Take(reader.Read<uint16_t>());
    if (id != kZip64Extra) continue;
    ByteReader zip64(field, where);
    for (uint64_t* value : values) {
      if (*value == UINT32_MAX) *value = zip64.Read<uint64_t>();
    }
  }
}

}  // namespace

ZipArchive::ZipArchive(const MappedFile& file) : file_(file) {
  const Directory directory = FindDirectory();
  const std::string where = file_.path().string();
  ByteReader whole(file_.bytes(), where);
  whole.Seek(directory.at);
  ByteReader reader(whole.Take(directory.bytes), where + ": zip directory");
  Check(directory.members <= directory.bytes / kEntryBytes,
        "{}: the zip directory claims {} members in {} bytes", where, directory.members, directory.bytes);
  members_.reserve(directory.members);
  for (uint64_t i = 0; i < directory.members; ++i) members_.push_back(ReadEntry(&reader));
  std::sort(members_.begin(), members_.end(),
            [](const Member& a, const Member& b) { return a.name < b.name; });
  const auto twice = std::adjacent_find(members_.begin(), members_.end(),
                                        [](const Member& a, const Member& b) { return a.name == b.name; });
  Check(twice == members_.end(), "{}: holds a zip member twice: {}", where,
        twice == members_.end() ? std::string_view() : twice->name);
}

size_t ZipArchive::FindEnd() const {
  const auto bytes = file_.bytes();
  const std::string where = file_.path().string();
  for (size_t length = kEndBytes; length <= std::min(bytes.size(), kEndBytes + kMaxComment); ++length) {
    ByteReader reader(bytes.last(length), where);
    if (reader.Read<uint32_t>() != kEnd) continue;
    reader.Seek(kEndBytes - sizeof(uint16_t));
    if (reader.Read<uint16_t>() == length - kEndBytes) return bytes.size() - length;
  }
  Fail("{}: is cut short: a zip archive without its directory; copy or download it again", where);
}

ZipArchive::Directory ZipArchive::FindDirectory() const {
  const size_t end = FindEnd();
  ByteReader reader(file_.bytes(), file_.path().string());
  if (end >= kLocatorBytes) {
    reader.Seek(end - kLocatorBytes);
    if (reader.Read<uint32_t>() == kZip64Locator) return ReadZip64End(&reader, end - kLocatorBytes);
  }
  reader.Seek(end + sizeof kEnd);
  const auto disk = reader.Read<uint16_t>(), first_disk = reader.Read<uint16_t>();
  const auto members_here = reader.Read<uint16_t>(), members = reader.Read<uint16_t>();
  Check(disk == 0 && first_disk == 0 && members_here == members,
        "{}: is one part of a zip archive in several files", reader.where());
  const auto bytes = reader.Read<uint32_t>(), at = reader.Read<uint32_t>();
  return {at, bytes, members};
}

ZipArchive::Directory ZipArchive::ReadZip64End(ByteReader* reader, size_t locator_at) const {
  reader->Seek(locator_at + sizeof kZip64Locator);
  const auto end_disk = reader->Read<uint32_t>();
  const auto end_at = reader->Read<uint64_t>();
  const auto disks = reader->Read<uint32_t>();
  reader->Seek(end_at);
  Check(reader->Read<uint32_t>() == kZip64End, "{}: the zip64 directory is not where its locator points",
        reader->where());
  reader->Take(12);  // the record's own size, versions
  const auto disk = reader->Read<uint32_t>(), first_disk = reader->Read<uint32_t>();
  const auto members_here = reader->Read<uint64_t>(), members = reader->Read<uint64_t>();
  const bool whole = end_disk == 0 && disks <= 1 && disk == 0 && first_disk == 0 && members_here == members;
  Check(whole, "{}: is one part of a zip archive in several files", reader->where());
  const auto bytes = reader->Read<uint64_t>(), at = reader->Read<uint64_t>();
  return {at, bytes, members};
}

ZipArchive::Member ZipArchive::ReadEntry(ByteReader* reader) const {
  const size_t at = reader->at();
  Check(reader->Read<uint32_t>() == kEntry, "{}: is malformed at its byte {}", reader->where(), at);
  reader->Take(4);  // versions
  const auto flags = reader->Read<uint16_t>();
  Member member{};
  member.method = reader->Read<uint16_t>();
  reader->Take(8);  // time, date, checksum
  member.stored_bytes = reader->Read<uint32_t>();
  member.bytes = reader->Read<uint32_t>();
  const auto name_bytes = reader->Read<uint16_t>(), extra_bytes = reader->Read<uint16_t>(),
             comment_bytes = reader->Read<uint16_t>(), disk = reader->Read<uint16_t>();
  reader->Take(6);  // attributes
  member.header_at = reader->Read<uint32_t>();
  member.name = reader->TakeText(name_bytes);
  ApplyZip64(reader->Take(extra_bytes), reader->where(),
             {&member.bytes, &member.stored_bytes, &member.header_at});
  reader->Take(comment_bytes);
  Check((flags & kEncrypted) == 0, "{} is encrypted: extract it and save it without a password",
        Name(member));
  Check(disk == 0 || disk == 0xFFFF, "{} lies in another part of the archive", Name(member));
  return member;
}

const ZipArchive::Member* ZipArchive::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(members_.begin(), members_.end(), name,
                       [](const Member& member, std::string_view key) { return member.name < key; });
  return found != members_.end() && found->name == name ? &*found : nullptr;
}

std::string ZipArchive::Name(const Member& member) const {
  return fmt::format("{}: the zip member {}", file_.path().string(), member.name);
}

std::span<const std::byte> ZipArchive::Raw(const Member& member) const {
  ByteReader reader(file_.bytes(), Name(member));
  reader.Seek(member.header_at);
  Check(reader.Read<uint32_t>() == kLocalHeader, "{} is not where the directory says", Name(member));
  reader.Take(22);  // what the directory says too; it may be zero here
  const auto name_bytes = reader.Read<uint16_t>(), extra_bytes = reader.Read<uint16_t>();
  reader.Take(uint64_t{name_bytes} + extra_bytes);
  return reader.Take(member.stored_bytes);
}

std::span<const std::byte> ZipArchive::InPlace(const Member& member) const {
  Check(member.method == kStored && member.bytes == member.stored_bytes,
        "{} is compressed, so it cannot be mapped: unpack the archive and pack it with zip -0", Name(member));
  return Raw(member);
}

std::vector<std::byte> ZipArchive::Read(const Member& member, uint64_t max_bytes) const {
  Check(member.bytes <= max_bytes, "{} has {} bytes; at most {} make sense here", Name(member), member.bytes,
        max_bytes);
  if (member.method == kStored) {
    const auto bytes = InPlace(member);
    return {bytes.begin(), bytes.end()};
  }
  Check(member.method == kDeflated, "{} is compressed by method {}; linnet knows only deflate", Name(member),
        member.method);
  Check(member.bytes / kMaxInflation <= member.stored_bytes,
        "{} would grow from {} to {} bytes: not believed", Name(member), member.stored_bytes, member.bytes);
  const auto raw = Raw(member);
  std::vector<std::byte> bytes(member.bytes);
  z_stream stream{};
  Check(inflateInit2(&stream, -MAX_WBITS) == Z_OK, "{} cannot be inflated: no memory left", Name(member));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(raw.data()));
  stream.avail_in = static_cast<uInt>(std::min<uint64_t>(raw.size(), UINT32_MAX));
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = inflate(&stream, Z_FINISH);
  inflateEnd(&stream);
  Check(result == Z_STREAM_END && stream.avail_out == 0, "{} is corrupt: it does not inflate to {} bytes",
        Name(member), member.bytes);
  return bytes;
}

}  // namespace linnet
