// FNV-1a, 64 bits: a short name for some bytes. For telling things apart, not for defence against anybody.
// Source: Fowler, Noll, Vo (draft-eastlake-fnv).
#pragma once

#include <cstdint>
#include <string_view>

namespace linnet {

/// Hash of `bytes`; given the hash of what came before, that of both together.
inline uint64_t Hash(std::string_view bytes, uint64_t before = 0xCBF29CE484222325u) {
  for (unsigned char c : bytes) before = (before ^ c) * 0x100000001B3u;
  return before;
}

}  // namespace linnet
