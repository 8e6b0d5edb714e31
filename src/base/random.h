// Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// 2011).
//
// A generator is a key and a counter, nothing else: the same (seed, stream) gives the same numbers on every
// machine, and a training run resumes by knowing its step. The standard library's distributions promise
// neither.
#pragma once

#include <array>
#include <cstdint>

namespace linnet {

class Random {
 public:
  /// Streams with the same seed and different numbers are independent of each other.
  explicit Random(uint64_t seed, uint64_t stream = 0);

  /// 32 uniform bits.
  uint32_t Bits();
  /// Uniform in [0, 1), 53 bits.
  double Uniform();
  /// Uniform in [0, n); n >= 1.
  uint64_t Below(uint64_t n);
  /// Standard normal.
  double Normal();

 private:
  std::array<uint32_t, 2> key_;
  std::array<uint32_t, 4> counter_;  // {block low, block high, stream low, stream high}
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace linnet
