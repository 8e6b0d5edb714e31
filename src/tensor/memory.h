// Host memory for tensors: a cache of freed blocks, so that a training step that allocates what the last one
// freed costs no system call and no page fault, and a decode step costs nanoseconds.
#pragma once

#include <cstddef>
#include <utility>

namespace linnet {

/// A block of memory aligned to 64 bytes. It returns to the cache when this goes.
class HostBlock {
 public:
  HostBlock() = default;
  /// At least `bytes` bytes, uninitialised. Throws Error if the system has no memory left.
  explicit HostBlock(size_t bytes);
  ~HostBlock();
  HostBlock(HostBlock&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_class_(other.size_class_) {}
  HostBlock& operator=(HostBlock&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_class_, other.size_class_);
    return *this;
  }

  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  int size_class_ = 0;
};

struct HostMemory {
  size_t in_use_bytes;
  size_t peak_bytes;    // most that was in use at once since ResetHostMemoryPeak
  size_t cached_bytes;  // freed, kept for the next allocation of the same class
};
HostMemory HostMemoryUse();
void ResetHostMemoryPeak();
/// Gives all cached blocks back to the system.
void TrimHostMemory();

}  // namespace linnet
