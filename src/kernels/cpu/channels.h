// How recurrences of channels that do not see each other are shared out: by sequence and range of channels.
#pragma once

#include <algorithm>

#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

namespace linnet {

/// Calls body(s, first channel, count) for ranges of channels that cover every sequence of `rows` rows in
/// all. An element takes as long as `cost` sums.
template <class Body>
void ForChannels(const Sequences& sequences, int64_t rows, int64_t width, int64_t cost, const Body& body) {
  constexpr int64_t kUnit = 64;
  const int64_t units = (width + kUnit - 1) / kUnit, count = sequences.sequences();
  const int64_t elements = std::max<int64_t>(1, cost * rows * width / (count * units));
  ParallelFor(count * units, kGrainElements / elements, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin / units; s * units < end; ++s) {
      const int64_t first = std::max(begin - s * units, int64_t{0}) * kUnit;
      body(s, first, std::min(std::min(end - s * units, units) * kUnit, width) - first);
    }
  });
}

}  // namespace linnet
