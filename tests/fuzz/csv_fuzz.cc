#include <cstdint>

#include "fuzz/csv_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  linnet::FuzzCsv(std::as_bytes(std::span(data, size)));
  return 0;
}
