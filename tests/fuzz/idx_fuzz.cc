#include <cstdint>

#include "fuzz/formats_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  linnet::FuzzIdx(std::as_bytes(std::span(data, size)));
  return 0;
}
