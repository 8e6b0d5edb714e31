#include "train/sample_order.h"

#include <cmath>

#include "base/check.h"

namespace linnet {
namespace {

bool IsPrime(int64_t n) {
  if (n < 2) return false;
  for (int64_t divisor = 2; divisor * divisor <= n; ++divisor) {
    if (n % divisor == 0) return false;
  }
  return true;
}

int64_t Product(int64_t a, int64_t b, int64_t modulus) {
  return static_cast<int64_t>(static_cast<__int128>(a) * b % modulus);
}

}  // namespace

SampleOrder::SampleOrder(int64_t tokens, int64_t ctx) : ctx_(ctx), prime_(tokens / ctx - 1) {
  Check(prime_ >= 2,
        "--pack stream needs at least 3 samples of --ctx {} tokens, but there are {} tokens to learn from; "
        "give "
        "more data or --ctx {} or less",
        ctx, tokens, tokens / 3);
  while (prime_ % 3 != 2 || !IsPrime(prime_)) --prime_;  // ends at 2
  factor_ = static_cast<int64_t>(static_cast<double>(prime_) * ((std::sqrt(5.0) - 1) / 2));
}

int64_t SampleOrder::Offset(int64_t n) const {
  const int64_t x = (n + 1) % prime_;
  return Product(factor_, Product(x, Product(x, x, prime_), prime_), prime_) * ctx_;
}

}  // namespace linnet
