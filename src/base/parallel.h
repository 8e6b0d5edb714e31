// The one thread pool behind one loop. (oneDNN, which does the products of a backward pass, brings OpenMP's
// with it.)
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace linnet {

/// Physical cores that this process may run on (hyper-threads of one core count once); at least 1.
int PhysicalCores();

/// Threads that ParallelFor and the matrix products use; PhysicalCores() until SetThreads is called.
int Threads();

/// Sets the number of threads, capped at PhysicalCores(): more of them only get in each other's way. Returns
/// the number in force. Throws Error if `threads` < 1.
int SetThreads(int threads);

/// To be called first in main. A thread of OpenMP's, which oneDNN uses, spins for milliseconds before it
/// sleeps. Where other threads want the cores too, those of the pool or of other programs, it then spins away
/// the time of the very thread it waits for: training becomes ten times slower. A short spin costs 2% on an
/// idle machine. OpenMP reads its settings before main, hence this starts the program once more.
void WaitShortly(char** argv);

/// How many parts ParallelFor cuts `n` items into if a part is to have at least `grain` of them.
inline int Parts(int64_t n, int64_t grain) {
  return static_cast<int>(std::clamp<int64_t>(n / std::max<int64_t>(grain, 1), 1, Threads()));
}

/// Memory that will be read soon.
struct Ahead {
  const std::byte* data = nullptr;
  int64_t bytes = 0;
};

namespace internal {
using PartFn = void (*)(const void* body, int part, int64_t begin, int64_t end);
void RunParts(int64_t n, int parts, const void* body, PartFn call, std::span<const Ahead> ahead = {});
}  // namespace internal

/// Calls body(part, begin, end), which must not throw, for `parts` consecutive ranges that cover [0, n). Each
/// thread takes its own share of them in order, then what is left of the others'. The ranges depend on n and
/// parts alone, so a sum over per-part results is reproducible. `ahead` is what the next such call will read,
/// in the order of its parts, if that is known: a thread that waits for it meanwhile fetches the beginning of
/// its share into its cache.
template <class Body>
void ParallelParts(int64_t n, int parts, const Body& body, std::span<const Ahead> ahead = {}) {
  if (parts == 1) {
    body(0, int64_t{0}, n);
    return;
  }
  internal::RunParts(
      n, parts, std::addressof(body),
      [](const void* b, int part, int64_t begin, int64_t end) {
        (*static_cast<const Body*>(b))(part, begin, end);
      },
      ahead);
}

/// Calls body(begin, end) for ranges that cover [0, n), each of at least `grain` items, in parallel.
template <class Body>
void ParallelFor(int64_t n, int64_t grain, const Body& body) {
  ParallelParts(n, Parts(n, grain), [&](int, int64_t begin, int64_t end) { body(begin, end); });
}

}  // namespace linnet
