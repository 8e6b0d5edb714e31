#include "base/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace linnet {
namespace {

/// The number after `key` in a file of "key number" lines or, with no key, the one that the file holds.
std::optional<uint64_t> NumberIn(const std::string& path, const std::string& key = "") {
  std::ifstream file(path);
  uint64_t number = 0;
  if (key.empty()) return file >> number ? std::optional(number) : std::nullopt;
  for (std::string word; file >> word;) {
    if (word == key) return file >> number ? std::optional(number) : std::nullopt;
  }
  return std::nullopt;
}

/// What is left of a control group's limit. Pages of files that were not read lately count as used there,
/// but are given back when memory is short.
std::optional<uint64_t> Left(std::optional<uint64_t> limit, std::optional<uint64_t> used,
                             std::optional<uint64_t> given_back) {
  if (!limit || !used) return std::nullopt;
  const uint64_t taken = *used - std::min(*used, given_back.value_or(0));
  return *limit - std::min(*limit, taken);
}

}  // namespace

uint64_t AvailableMemory() {
  uint64_t available = std::numeric_limits<uint64_t>::max();
  if (const auto kilobytes = NumberIn("/proc/meminfo", "MemAvailable:")) available = *kilobytes * 1024;
  const std::string groups = "/sys/fs/cgroup/";
  const auto second = Left(NumberIn(groups + "memory.max"), NumberIn(groups + "memory.current"),
                           NumberIn(groups + "memory.stat", "inactive_file"));
  const auto first = Left(NumberIn(groups + "memory/memory.limit_in_bytes"),
                          NumberIn(groups + "memory/memory.usage_in_bytes"),
                          NumberIn(groups + "memory/memory.stat", "total_inactive_file"));
  for (const auto& left : {first, second}) available = std::min(available, left.value_or(available));
  return available;
}

}  // namespace linnet
