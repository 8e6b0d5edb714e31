#include <cstddef>
#include <cstdint>

#include "fuzz/request_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  linnet::FuzzRequest({reinterpret_cast<const char*>(data), size});
  return 0;
}
