#include "base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace linnet {
namespace {

std::string Reason() { return std::strerror(errno); }

/// Owns a file descriptor for the length of a scope.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

size_t OpenForReading(const std::filesystem::path& path, Descriptor& file) {
  file.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  Check(file.fd >= 0, "{}: cannot be opened: {}", path.string(), Reason());
  struct stat status {};
  Check(fstat(file.fd, &status) == 0, "{}: cannot be examined: {}", path.string(), Reason());
  Check(!S_ISDIR(status.st_mode), "{}: is a folder, a file was expected", path.string());
  return static_cast<size_t>(status.st_size);
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  Descriptor file{-1};
  const size_t size = OpenForReading(path, file);
  Check(size > 0, "{}: the file is empty", path.string());
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.fd, 0);
  Check(data != MAP_FAILED, "{}: cannot be mapped into memory: {}", path.string(), Reason());
  owner_ = std::shared_ptr<const void>(data, [size](const void* p) { munmap(const_cast<void*>(p), size); });
  bytes_ = {static_cast<const std::byte*>(data), size};
  is_mapping_ = true;
}

void MappedFile::Forget(std::span<const std::byte> bytes) const {
  if (!is_mapping_) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = (reinterpret_cast<uintptr_t>(bytes.data()) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size()) / page * page;
  // A hint: where it fails, nothing is lost but memory.
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

std::string ReadFile(const std::filesystem::path& path) {
  Descriptor file{-1};
  std::string text;
  text.reserve(OpenForReading(path, file));
  char buffer[1 << 16];
  while (true) {
    const ssize_t n = read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    Check(n >= 0, "{}: cannot be read: {}", path.string(), Reason());
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
  }
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  temporary_ = path_;
  temporary_ += ".partial." + std::to_string(getpid());
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  Check(descriptor_ >= 0, "{}: cannot be written: {}", path_.string(), Reason());
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void AtomicFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    Check(n > 0, "{}: writing failed: {}; nothing was changed", path_.string(), Reason());
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void AtomicFile::Write(std::string_view text) { Write(std::as_bytes(std::span(text))); }

void AtomicFile::Commit() {
  Check(fsync(descriptor_) == 0, "{}: writing failed: {}; nothing was changed", path_.string(), Reason());
  Check(rename(temporary_.c_str(), path_.c_str()) == 0, "{}: cannot be put in place: {}", path_.string(),
        Reason());
  close(descriptor_);
  descriptor_ = -1;
}

void WriteFile(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Commit();
}

}  // namespace linnet
