#include "kernels/backend.h"

#include <array>

#include "kernels/cpu/cpu_backend.h"

namespace linnet {
namespace {

/// The table of backends, one a device. A build with another device registers it here.
std::array<Backend*, 1>& Table() {
  static CpuBackend cpu;
  static std::array<Backend*, 1> table{&cpu};
  return table;
}

}  // namespace

Backend& Backend::For(Device device) { return *Table().at(static_cast<size_t>(device)); }

void Backend::Use(Device device, Backend& backend) { Table().at(static_cast<size_t>(device)) = &backend; }

}  // namespace linnet
