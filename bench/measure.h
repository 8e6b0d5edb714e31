// What the benchmark programs share: times, medians, the machine's limits.
//
// Machines are shared and noisy. Everything that is compared is therefore measured in one run, interleaved,
// and reported as the median of the ratios.
#pragma once

#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/random.h"
#include "infer/machine.h"
#include "kernels/backend.h"

namespace linnet::bench {

/// Seconds that `body` takes.
template <class Body>
double Seconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

inline Tensor RandomTensor(const Shape& shape, uint64_t seed, float scale = 1) {
  const Tensor t = Tensor::Empty(shape);
  Random random(seed);
  for (Dim i = 0; i < t.size(); ++i) t.data()[i] = scale * static_cast<float>(2 * random.Uniform() - 1);
  return t;
}

/// Resident memory of this process in bytes.
inline size_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

/// The most that it was since the program began or since ResetPeakResidentBytes.
inline size_t PeakResidentBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    size_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}
inline void ResetPeakResidentBytes() { std::ofstream("/proc/self/clear_refs") << "5"; }

inline nlohmann::json Machine() { return {{"cpu", CpuName()}, {"threads", Threads()}}; }

}  // namespace linnet::bench
