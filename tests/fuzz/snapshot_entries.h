// What the fuzzer of stored states does with an input; shared with the test that runs the corpus without a
// fuzzer.
#pragma once

#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "base/check.h"
#include "base/hash.h"
#include "serve/snapshot_bytes.h"

namespace linnet {

/// The input with the length and the checksum that it says it has made right, so that a fuzzer comes further
/// than the header (snapshot_bytes.h).
inline std::string WithChecksum(std::string bytes) {
  constexpr size_t kLengthAt = 40, kChecksumAt = 48, kHeader = 56;
  if (bytes.size() < kHeader) return bytes;
  const uint64_t length = bytes.size();
  std::memcpy(bytes.data() + kLengthAt, &length, sizeof length);
  const std::string_view all = bytes;
  const uint64_t checksum = Hash(all.substr(0, kChecksumAt), Hash(all.substr(kHeader)));
  std::memcpy(bytes.data() + kChecksumAt, &checksum, sizeof checksum);
  return bytes;
}

/// A state that was read is the same bytes when it is written.
inline void FuzzSnapshot(std::span<const std::byte> input) {
  const std::string model = "0123456789abcdef";
  const std::string given(reinterpret_cast<const char*>(input.data()), input.size());
  for (const std::string& bytes : {given, WithChecksum(given)}) {
    try {
      if (PackSnapshot(UnpackSnapshot(bytes, model, "input"), model) != bytes) std::abort();
    } catch (const Error&) {  // the one exception that damaged bytes may cause
    }
  }
}

}  // namespace linnet
