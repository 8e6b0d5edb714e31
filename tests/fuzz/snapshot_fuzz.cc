#include <cstdint>

#include "fuzz/snapshot_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  linnet::FuzzSnapshot(std::as_bytes(std::span(data, size)));
  return 0;
}
