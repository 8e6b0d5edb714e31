// How much memory this process may still take: what the system calls available, or what is left of the
// limit that a container set (control groups, versions 1 and 2).
#pragma once

#include <cstdint>

namespace linnet {

/// Bytes; the largest number where the system does not say.
uint64_t AvailableMemory();

}  // namespace linnet
