// SHA-256: a name for some bytes that nobody can find other bytes for. For keys and for what stands for a
// text where clients must not be able to meet each other's; base/hash.h is the quick one.
// Source: FIPS 180-4.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace linnet {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(std::string_view bytes);
/// Its first `digits` hexadecimal digits, at most 64.
std::string Sha256Hex(std::string_view bytes, int digits = 64);

}  // namespace linnet
