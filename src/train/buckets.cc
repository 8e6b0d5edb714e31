#include "train/buckets.h"

#include <algorithm>

namespace linnet {

Dim Bucket::size() const {
  Dim size = 0;
  for (const Piece& piece : pieces) size += piece.size();
  return size;
}

Dim BucketSize(Dim count, int processes) {
  constexpr Dim kLeast = 16 << 10, kMost = 1 << 20, kBucketsEach = 8;
  return std::clamp(count / (kBucketsEach * processes), kLeast, kMost);
}

std::vector<Bucket> CutIntoBuckets(const std::vector<Parameter>& parameters, int processes) {
  Dim count = 0;
  for (const Parameter& p : parameters) count += p.tensor.tracked() ? p.tensor.size() : 0;
  const Dim most = BucketSize(count, processes);
  std::vector<Bucket> buckets;
  Dim room = 0;  // in the last bucket
  for (size_t i = parameters.size(); i-- > 0;) {
    const Tensor& tensor = parameters[i].tensor;
    if (!tensor.tracked()) continue;
    for (Dim begin = 0; begin < tensor.size();) {
      if (room == 0) {
        buckets.push_back({static_cast<int>(buckets.size()) % processes, {}});
        room = most;
      }
      const Dim end = std::min(tensor.size(), begin + room);
      buckets.back().pieces.push_back({i, begin, end});
      room -= end - begin;
      begin = end;
    }
  }
  return buckets;
}

}  // namespace linnet
