#include <cstdint>

#include "fuzz/grammar_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  linnet::FuzzJsonSchema({reinterpret_cast<const char*>(data), size});
  return 0;
}
