#include "base/permutation.h"

#include "base/check.h"

namespace linnet {
namespace {

constexpr uint64_t kRounds = 6;

/// The finalizer of SplitMix64 (Steele, Lea, Flood, 2014): every bit of the result depends on all of x.
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace

Permutation::Permutation(int64_t n, uint64_t seed) : n_(n), seed_(Mix(seed + 0x9E3779B97F4A7C15u)) {
  Check(n >= 1 && n <= int64_t{1} << 62, "[permutation] cannot order {} things", n);
  while (int64_t{1} << (2 * half_bits_) < n) ++half_bits_;
}

uint64_t Permutation::Once(uint64_t x) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = x >> half_bits_, right = x & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    const uint64_t next = left ^ (Mix(right ^ Mix(seed_ + round)) & mask);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

int64_t Permutation::operator()(int64_t i) const {
  Check(i >= 0 && i < n_, "[permutation] there is no place {} among {}", i, n_);
  auto x = static_cast<uint64_t>(i);
  do x = Once(x);
  while (x >= static_cast<uint64_t>(n_));
  return static_cast<int64_t>(x);
}

}  // namespace linnet
