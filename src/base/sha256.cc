#include "base/sha256.h"

#include <bit>
#include <cstddef>

namespace linnet {
namespace {

/// The first 64 primes, whose roots the constants are.
constexpr std::array<int, 64> Primes() {
  std::array<int, 64> primes{};
  size_t count = 0;
  for (int n = 2; count < primes.size(); ++n) {
    bool prime = true;
    for (size_t i = 0; i < count; ++i) prime = prime && n % primes[i] != 0;
    if (prime) primes[count++] = n;
  }
  return primes;
}

/// floor(2^32 x fraction of the k-th root of n): the largest r with r^k <= n 2^(32 k), modulo 2^32.
constexpr uint32_t RootFraction(int n, int k) {
  using Wide = unsigned __int128;
  // Roots are below 2^5, so r is below 2^37 and r^3 below 2^111.
  uint64_t root = 0;
  for (int bit = 36; bit >= 0; --bit) {
    const uint64_t candidate = root | uint64_t{1} << bit;
    Wide power = candidate;
    for (int i = 1; i < k; ++i) power *= candidate;
    if (power <= static_cast<Wide>(n) << (32 * k)) root = candidate;
  }
  return static_cast<uint32_t>(root);
}

struct Constants {
  std::array<uint32_t, 8> start{};
  std::array<uint32_t, 64> round{};
};

constexpr Constants kConstants = [] {
  Constants constants;
  constexpr std::array<int, 64> primes = Primes();
  for (size_t i = 0; i < 8; ++i) constants.start[i] = RootFraction(primes[i], 2);
  for (size_t i = 0; i < 64; ++i) constants.round[i] = RootFraction(primes[i], 3);
  return constants;
}();

void TakeBlock(std::array<uint32_t, 8>& hash, const uint8_t* block) {
  std::array<uint32_t, 64> w{};
  for (size_t t = 0; t < 16; ++t) {
    for (size_t i = 0; i < 4; ++i) w[t] = w[t] << 8 | block[4 * t + i];
  }
  for (size_t t = 16; t < 64; ++t) {
    const uint32_t a = w[t - 15], b = w[t - 2];
    w[t] = w[t - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[t - 7] +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = hash;
  for (size_t t = 0; t < 64; ++t) {
    const uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) +
                        kConstants.round[t] + w[t];
    const uint32_t t2 =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const std::array<uint32_t, 8> more = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) hash[i] += more[i];
}

}  // namespace

Sha256Digest Sha256(std::string_view bytes) {
  std::array<uint32_t, 8> hash = kConstants.start;
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t at = 0;
  for (; bytes.size() - at >= 64; at += 64) TakeBlock(hash, data + at);
  // What is left, a one bit, zeros, and the length in bits in the last eight bytes of a block.
  std::array<uint8_t, 128> end{};
  const size_t left = bytes.size() - at, size = left < 56 ? 64 : 128;
  for (size_t i = 0; i < left; ++i) end[i] = data[at + i];
  end[left] = 0x80;
  const uint64_t bits = uint64_t{8} * bytes.size();
  for (size_t i = 0; i < 8; ++i) end[size - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
  for (size_t i = 0; i < size; i += 64) TakeBlock(hash, end.data() + i);
  Sha256Digest digest;
  for (size_t i = 0; i < digest.size(); ++i)
    digest[i] = static_cast<uint8_t>(hash[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

std::string Sha256Hex(std::string_view bytes, int digits) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string hex;
  for (const uint8_t byte : Sha256(bytes)) hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  hex.resize(static_cast<size_t>(digits));
  return hex;
}

}  // namespace linnet
