#include "base/parallel.h"

#include <omp.h>
#include <sched.h>

#include <fstream>
#include <set>
#include <string>

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

void internal::RunParts(int64_t n, int parts, const void* body, PartFn call) {
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int part = 0; part < parts; ++part) call(body, part, n * part / parts, n * (part + 1) / parts);
}

}  // namespace linnet
