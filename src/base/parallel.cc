#include "base/parallel.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

int CountCores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
  std::set<std::string> cores;  // a core is named by the list of its hyper-threads
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                       "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = std::to_string(cpu);
    cores.insert(siblings);
  }
  return std::max<int>(1, static_cast<int>(cores.size()));
}

int& ThreadCount() {
  static int count = [] {
    omp_set_num_threads(PhysicalCores());  // oneDNN asks OpenMP
    return PhysicalCores();
  }();
  return count;
}

/// Tells the CPU that this is a loop that waits.
void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// The threads beside the caller's. Decoding hands out some hundred pieces of work of a few microseconds for
/// each token: a thread that waits for the next spins for a while before it sleeps, and handing out costs
/// half a microsecond.
class Pool {
 public:
  explicit Pool(int workers) : shares_(workers + 1) {
    for (int i = 1; i <= workers; ++i) threads_.emplace_back([this, i] { Work(i); });
  }
  ~Pool() {
    job_ = {};
    Publish();
    for (std::thread& thread : threads_) thread.join();
  }
  int workers() const { return static_cast<int>(threads_.size()); }

  /// Runs all parts. Not for two callers at once.
  void Run(int64_t n, int parts, const void* body, internal::PartFn call, std::span<const Ahead> ahead) {
    job_ = {n, parts, body, call};
    ahead_count_ = std::min(ahead.size(), ahead_.size());
    std::copy_n(ahead.begin(), ahead_count_, ahead_.begin());
    const auto threads = static_cast<int>(shares_.size());
    for (int t = 0; t < threads; ++t) shares_[t].Set(parts * t / threads, parts * (t + 1) / threads);
    unfinished_.store(workers(), std::memory_order_relaxed);
    Publish();
    RunShare(0);
    for (int spins = 0; unfinished_.load(std::memory_order_acquire) > 0; ++spins) {
      Pause();
      if (spins > kSpins) std::this_thread::yield();  // another program has the core that the work waits for
    }
  }

 private:
  struct Job {
    int64_t n = 0;
    int parts = 0;
    const void* body = nullptr;
    internal::PartFn call = nullptr;  // null ends the threads
    void RunPart(int part) const { call(body, part, n * part / parts, n * (part + 1) / parts); }
  };
  /// Parts [begin, end), taken from both sides.
  class alignas(64) Share {
   public:
    void Set(uint32_t begin, uint32_t end) {
      bounds_.store(uint64_t{end} << 32 | begin, std::memory_order_relaxed);
    }
    int TakeFirst() { return Take(1, 0); }
    int TakeLast() { return Take(0, 1); }

   private:
    /// A part from the front or the back; -1 if none is left.
    int Take(uint32_t front, uint32_t back) {
      uint64_t bounds = bounds_.load(std::memory_order_relaxed);
      for (;;) {
        const auto begin = static_cast<uint32_t>(bounds), end = static_cast<uint32_t>(bounds >> 32);
        if (begin >= end) return -1;
        const uint64_t left = uint64_t{end - back} << 32 | (begin + front);
        if (bounds_.compare_exchange_weak(bounds, left, std::memory_order_relaxed)) {
          return static_cast<int>(front ? begin : end - 1);
        }
      }
    }
    std::atomic<uint64_t> bounds_ = 0;
  };
  static constexpr int kSpins = 2000;  // some 50 microseconds
  static constexpr size_t kMostAhead = 8;
  /// A part of a second-level cache.
  static constexpr int64_t kMostAheadBytes = 1 << 18;

  /// What a thread will read next: its share of what all of them will.
  struct Next {
    std::array<Ahead, kMostAhead> pieces;
    size_t count = 0;
  };
  Next NextOf(int thread) const {
    int64_t all = 0, at = 0, left = kMostAheadBytes;
    for (size_t i = 0; i < ahead_count_; ++i) all += ahead_[i].bytes;
    const int64_t begin = all * thread / static_cast<int64_t>(shares_.size());
    Next next;
    for (size_t i = 0; i < ahead_count_ && left > 0; at += ahead_[i++].bytes) {
      const int64_t skip = std::max<int64_t>(0, begin - at), bytes = std::min(left, ahead_[i].bytes - skip);
      if (bytes <= 0) continue;
      next.pieces[next.count++] = {ahead_[i].data + skip, bytes};
      left -= bytes;
    }
    return next;
  }

  /// Fetches it, until there is work.
  void Fetch(const Next& next, uint32_t seen) const {
    constexpr int64_t kLine = 64, kStep = 16 * kLine;
    for (size_t i = 0; i < next.count; ++i) {
      const auto& [data, bytes] = next.pieces[i];
      for (int64_t at = 0; at < bytes; at += kStep) {
        if (number_.load(std::memory_order_relaxed) != seen) return;
        for (int64_t line = at; line < std::min(bytes, at + kStep); line += kLine) {
          __builtin_prefetch(data + line, 0, 2);
        }
      }
    }
  }

  void Publish() {
    number_.fetch_add(1, std::memory_order_release);
    number_.notify_all();
  }

  /// A thread's own share of the parts, in order, then what is left of the others', from their ends: who
  /// follows memory in one direction is fast, and no core waits for one that is slowed down.
  void RunShare(int thread) {
    for (int part; (part = shares_[thread].TakeFirst()) >= 0;) job_.RunPart(part);
    for (Share& share : shares_) {
      for (int part; (part = share.TakeLast()) >= 0;) job_.RunPart(part);
    }
  }

  void Work(int thread) {
    for (uint32_t seen = 0;;) {
      for (int spins = 0; number_.load(std::memory_order_acquire) == seen; ++spins) {
        Pause();
        if (spins > kSpins) number_.wait(seen);
      }
      ++seen;
      if (job_.call == nullptr) return;
      RunShare(thread);
      const Next next = NextOf(thread);  // before the job may be replaced
      unfinished_.fetch_sub(1, std::memory_order_release);
      Fetch(next, seen);
    }
  }

  std::vector<Share> shares_;  // one a thread, the caller's first
  std::vector<std::thread> threads_;
  Job job_;
  std::array<Ahead, kMostAhead> ahead_;
  size_t ahead_count_ = 0;
  std::atomic<uint32_t> number_ = 0;  // of jobs so far
  alignas(64) std::atomic<int> unfinished_ = 0;
};

/// The pool, made at its first use and again when the number of threads changes. One caller has it at a time.
std::mutex pool_mutex;
thread_local bool has_pool = false;

Pool& ThePool() {
  static std::unique_ptr<Pool> pool;
  const int workers = ThreadCount() - 1;
  if (!pool || pool->workers() != workers) {
    pool.reset();
    pool = std::make_unique<Pool>(workers);
  }
  return *pool;
}

}  // namespace

int PhysicalCores() {
  static const int cores = CountCores();
  return cores;
}

int Threads() { return ThreadCount(); }

int SetThreads(int threads) {
  Check(threads >= 1, "threads must be at least 1 but is {}", threads);
  ThreadCount() = std::min(threads, PhysicalCores());
  omp_set_num_threads(ThreadCount());
  return ThreadCount();
}

void WaitShortly(char** argv) {
  if (std::getenv("GOMP_SPINCOUNT") != nullptr || std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "1000", 0);
  execv("/proc/self/exe", argv);  // where that cannot be done, all works as before, only slower
}

void internal::RunParts(int64_t n, int parts, const void* body, PartFn call, std::span<const Ahead> ahead) {
  // Work inside of work, or of a second caller, is done by its own thread.
  std::unique_lock lock(pool_mutex, std::defer_lock);
  if (has_pool || ThreadCount() == 1 || !lock.try_lock()) {
    for (int part = 0; part < parts; ++part) call(body, part, n * part / parts, n * (part + 1) / parts);
    return;
  }
  has_pool = true;
  ThePool().Run(n, parts, body, call, ahead);
  has_pool = false;
}

}  // namespace linnet
