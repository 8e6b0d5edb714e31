#include "infer/machine.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/backend.h"

namespace linnet {
namespace {

template <class Body>
double BestSeconds(int rounds, const Body& body) {
  double best = 1e30;
  for (int i = 0; i < rounds; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// The bits of all words, added up in 32 independent sums that fill vector registers.
uint64_t SumOf(const uint64_t* words, int64_t count) {
  std::array<uint64_t, 32> sums{};
  for (int64_t i = 0; i + 32 <= count; i += 32) {
    for (int j = 0; j < 32; ++j) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (uint64_t s : sums) sum += s;
  return sum;
}

}  // namespace

std::string CpuName() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

double ReadBandwidth(size_t bytes, int rounds) {
  const auto words = static_cast<int64_t>(bytes / sizeof(uint64_t));
  const Tensor memory = Tensor::Empty({words}, DType::kI64);
  const auto* data = reinterpret_cast<const uint64_t*>(memory.data<int64_t>());
  std::memset(memory.raw(), 1, memory.bytes());
  std::atomic<uint64_t> sum = 0;
  const double seconds = BestSeconds(rounds, [&] {
    ParallelParts(words, Threads(),
                  [&](int, int64_t begin, int64_t end) { sum += SumOf(data + begin, end - begin); });
  });
  Check(sum != 0,
        "[machine] memory does not hold what was written to it");  // and the loop cannot be left out
  return static_cast<double>(memory.bytes()) / seconds;
}

double GemmPeak(DType type, int rounds, Dim rows) {
  constexpr Dim kSize = 2048;
  Backend& backend = Backend::For(Device::kCpu);
  const auto factor = [&](Dim m, uint64_t seed) {
    const Tensor values = Tensor::Empty({m, kSize}), converted = Tensor::Empty({m, kSize}, type);
    Random random(seed);
    for (Dim i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(random.Uniform() - 0.5);
    backend.Convert(values, converted);
    return converted;
  };
  const Tensor a = factor(rows, 1), b = factor(kSize, 2), c = Tensor::Empty({rows, kSize});
  // The first sets up; short ones are repeated.
  const int repeats = static_cast<int>(std::max<Dim>(1, 512 / rows));
  backend.MatMul(a, false, b, true, c, false);
  const double seconds = BestSeconds(rounds, [&] {
    for (int i = 0; i < repeats; ++i) backend.MatMul(a, false, b, true, c, false);
  });
  return 2.0 * static_cast<double>(rows * kSize * kSize) * repeats / seconds;
}

}  // namespace linnet
