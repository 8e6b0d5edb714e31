#include <cstdint>

#include "fuzz/formats_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  linnet::FuzzBinidx(std::as_bytes(std::span(data, size)));
  return 0;
}
