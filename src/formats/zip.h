// The directory of a zip archive, as far as .pth files need it: members found by name, read in place if they
// are stored, inflated if they are small. Layout from the ZIP application note (APPNOTE.TXT 6.3), zip64
// included.
//
// Checksums are not compared: that would read every byte of a model that is otherwise mapped and read when
// needed.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "formats/bytes.h"

namespace linnet {

class ZipArchive {
 public:
  struct Member {
    std::string_view name;  // points into the file
    uint64_t header_at;     // of the member's local header
    uint64_t stored_bytes, bytes;
    uint16_t method;
  };

  /// Reads the directory at the end of `file`. Throws Error if it is malformed, encrypted, in parts, or names
  /// a member twice.
  explicit ZipArchive(const MappedFile& file);

  const MappedFile& file() const { return file_; }
  /// Sorted by name.
  const std::vector<Member>& members() const { return members_; }
  /// Null if there is no member of that name.
  const Member* Find(std::string_view name) const;
  /// A member's bytes where they lie in the file. Throws Error if it is compressed or not where the directory
  /// says.
  std::span<const std::byte> InPlace(const Member& member) const;
  /// A copy of a member's bytes, inflated if need be. Throws Error if it has more than `max_bytes`.
  std::vector<std::byte> Read(const Member& member, uint64_t max_bytes) const;

 private:
  struct Directory {
    uint64_t at, bytes, members;
  };
  Directory FindDirectory() const;
  size_t FindEnd() const;
  Directory ReadZip64End(ByteReader* reader, size_t locator_at) const;
  Member ReadEntry(ByteReader* reader) const;
  std::span<const std::byte> Raw(const Member& member) const;
  std::string Name(const Member& member) const;

  MappedFile file_;
  std::vector<Member> members_;
};

}  // namespace linnet
