// A pseudo-random order of [0, n) that takes no memory: where place i stands is computed, not stored.
//
// A Feistel network permutes numbers of an even count of bits, whatever its round function is; one that is
// made for [0, 4^k) with 4^k >= n is applied until the result lies below n ("cycle walking", Black and
// Rogaway, "Ciphers with arbitrary finite domains", 2002), at most four times on average.
#pragma once

#include <cstdint>

namespace linnet {

class Permutation {
 public:
  /// An order of [0, n), 1 <= n <= 2^62. Seeds give different orders, the same on every machine.
  Permutation(int64_t n, uint64_t seed);

  int64_t size() const { return n_; }
  /// What stands at place i of [0, n).
  int64_t operator()(int64_t i) const;

 private:
  uint64_t Once(uint64_t x) const;

  int64_t n_;
  uint64_t seed_;
  int half_bits_ = 1;
};

}  // namespace linnet
