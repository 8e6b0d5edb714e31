// Files: read-only memory maps, whole-file reads, and writes that are either complete or absent.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace linnet {

/// A whole file mapped read-only. Copies share the mapping; it is released with the last of them.
class MappedFile {
 public:
  /// Maps `path`. Throws Error if it is missing, unreadable, a folder or empty.
  explicit MappedFile(const std::filesystem::path& path);
  /// Bytes that already lie in memory, seen as a file called `name`; `owner` keeps them alive.
  MappedFile(std::filesystem::path name, std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : path_(std::move(name)), owner_(std::move(owner)), bytes_(bytes) {}

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }
  /// Keeps the mapping alive; tensors that point into the file hold it.
  std::shared_ptr<const void> owner() const { return owner_; }
  /// Says that these bytes of the file will hardly be read again: the pages that lie wholly among them stop
  /// counting as memory of this process. They can be read as before.
  void Forget(std::span<const std::byte> bytes) const;

 private:
  std::filesystem::path path_;
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
  bool is_mapping_ = false;  // of a file, whose pages the system can read again
};

/// Reads a whole file. Throws Error if that fails.
std::string ReadFile(const std::filesystem::path& path);

/// A file that appears under its name only when Commit() is called: bytes go to a temporary name beside it,
/// which is flushed to disk and renamed. Destroyed before that, it leaves nothing behind. Errors (a full
/// disk, no permission) throw Error with the name of the file.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void Write(std::span<const std::byte> bytes);
  void Write(std::string_view text);
  void Commit();

 private:
  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

/// Writes `text` to `path` through AtomicFile.
void WriteFile(const std::filesystem::path& path, std::string_view text);

}  // namespace linnet
