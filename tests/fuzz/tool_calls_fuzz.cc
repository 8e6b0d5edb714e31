#include <cstddef>
#include <cstdint>

#include "fuzz/tool_calls_entries.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  linnet::FuzzToolCalls({reinterpret_cast<const char*>(data), size});
  return 0;
}
