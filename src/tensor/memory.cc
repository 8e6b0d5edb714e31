// Blocks come in size classes: four to each power of two, so that at most a quarter of a block is unused.
// Freed blocks go on the list of their class: a thread's own short list for small ones, else one behind a
// lock.
#include "tensor/memory.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

constexpr size_t kAlignment = 64;

int ClassOf(size_t bytes) {  // smallest class whose size is >= bytes
  const size_t units = (std::max(bytes, size_t{1}) + kAlignment - 1) / kAlignment;
  if (units <= 4) return static_cast<int>(units) - 1;
  const int log2 = std::bit_width(units - 1) - 1;  // 2^log2 < units <= 2^(log2+1)
  const size_t quarter = size_t{1} << (log2 - 2);
  return 4 * (log2 - 1) + static_cast<int>((units - 1 - (size_t{1} << log2)) / quarter);
}

size_t BytesOf(int size_class) {
  if (size_class < 4) return kAlignment * static_cast<size_t>(size_class + 1);
  const int log2 = size_class / 4 + 1;
  return kAlignment *
         ((size_t{1} << log2) + (static_cast<size_t>(size_class % 4) + 1) * (size_t{1} << (log2 - 2)));
}

constexpr int kClasses = 4 * 60;

class Pool {
 public:
  /// A freed block of the class, or null.
  void* TryTake(int size_class) {
    std::lock_guard lock(mutex_);
    auto& list = free_[size_class];
    if (list.empty()) return nullptr;
    void* block = list.back();
    list.pop_back();
    return block;
  }

  void Give(void* block, int size_class) {
    std::lock_guard lock(mutex_);
    free_[size_class].push_back(block);
  }

  /// Frees all blocks; returns their bytes.
  size_t Trim() {
    std::lock_guard lock(mutex_);
    size_t bytes = 0;
    for (int c = 0; c < kClasses; ++c) {
      bytes += free_[c].size() * BytesOf(c);
      for (void* block : free_[c]) std::free(block);
      free_[c].clear();
    }
    return bytes;
  }

 private:
  std::mutex mutex_;
  std::vector<void*> free_[kClasses];
};

Pool& ThePool() {
  static Pool* pool =
      new Pool;  // never destroyed: tensors with static lifetime may outlive any order of destruction
  return *pool;
}

std::atomic<size_t> in_use, peak, allocated;

/// The thread's own few small blocks of each class, which it takes and gives without a lock: a decode step
/// allocates some hundred tensors of a few kilobytes.
class ThreadCache {
 public:
  static constexpr int kSmallClasses = 48;  // up to 256 KB
  static constexpr int kDepth = 8;

  ~ThreadCache() {
    for (int c = 0; c < kSmallClasses; ++c) {
      while (counts_[c] > 0) ThePool().Give(blocks_[c][--counts_[c]], c);
    }
  }
  void* TryTake(int c) { return c < kSmallClasses && counts_[c] > 0 ? blocks_[c][--counts_[c]] : nullptr; }
  bool TryGive(void* block, int c) {
    if (c >= kSmallClasses || counts_[c] == kDepth) return false;
    blocks_[c][counts_[c]++] = block;
    return true;
  }

 private:
  void* blocks_[kSmallClasses][kDepth];
  int counts_[kSmallClasses] = {};
};

thread_local ThreadCache thread_cache;

void CountTaken(size_t bytes) {
  const size_t now = in_use.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  size_t before = peak.load(std::memory_order_relaxed);
  while (now > before && !peak.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
  }
}

void* Take(int size_class) {
  const size_t bytes = BytesOf(size_class);
  void* block = thread_cache.TryTake(size_class);
  if (block == nullptr) block = ThePool().TryTake(size_class);
  if (block == nullptr) {
    block = std::aligned_alloc(kAlignment, bytes);
    Check(block != nullptr, "[memory] the system has no {} bytes left; use a smaller batch, context or model",
          bytes);
    allocated.fetch_add(bytes, std::memory_order_relaxed);
  }
  CountTaken(bytes);
  return block;
}

void Give(void* block, int size_class) {
  in_use.fetch_sub(BytesOf(size_class), std::memory_order_relaxed);
  if (!thread_cache.TryGive(block, size_class)) ThePool().Give(block, size_class);
}

}  // namespace

HostBlock::HostBlock(size_t bytes) : data_(nullptr), size_class_(ClassOf(bytes)) {
  data_ = Take(size_class_);
}

HostBlock::~HostBlock() {
  if (data_ != nullptr) Give(data_, size_class_);
}

HostMemory HostMemoryUse() { return {in_use, peak, allocated - in_use}; }
void ResetHostMemoryPeak() { peak = in_use.load(); }
void TrimHostMemory() { allocated -= ThePool().Trim(); }

}  // namespace linnet
