// The order in which RWKV-LM visits a stream of tokens.
//
// The stream has tokens / ctx samples. Let p be the largest prime with p mod 3 = 2 that is at most that
// number less one, and f = floor(p (sqrt(5) - 1) / 2). Sample n of the run, counted from 0 over all
// processes, begins at token ((f (n + 1)^3) mod p) ctx: as cubing permutes the numbers modulo such a prime, p
// consecutive samples are p different ones. An "epoch" is 40,320 samples there; sample idx of process rank of
// world in epoch e is n = 40320 e + idx world + rank. Source: RWKV-LM, RWKV-v7/train_temp/src/dataset.py.
#pragma once

#include <cstdint>

namespace linnet {

class SampleOrder {
 public:
  /// Throws Error if the stream has fewer than 3 samples.
  SampleOrder(int64_t tokens, int64_t ctx);

  int64_t prime() const { return prime_; }
  /// The first of the ctx + 1 tokens of sample n.
  int64_t Offset(int64_t n) const;

 private:
  int64_t ctx_, prime_, factor_;
};

}  // namespace linnet
