// Buckets: the values of all parameters, cut into parts of some megabytes, each with the process that owns
// it.
//
// The values count in the order in which a backward pass finishes their gradients, the last parameter's
// first. So the first buckets can travel while the rest is still computed. Owners take turns: at any moment
// all processes send and receive alike, and each owns the same share but for a bucket.
#pragma once

#include <vector>

#include "nn/params.h"

namespace linnet {

/// Elements [begin, end) of a parameter.
struct Piece {
  size_t parameter;  // its index
  Dim begin, end;

  Dim size() const { return end - begin; }
};

struct Bucket {
  int owner;
  std::vector<Piece> pieces;

  Dim size() const;
};

/// Elements of a bucket for `count` values and so many processes: what keeps shares even and messages long.
Dim BucketSize(Dim count, int processes);

/// The buckets of the tracked ones of `parameters`.
std::vector<Bucket> CutIntoBuckets(const std::vector<Parameter>& parameters, int processes);

}  // namespace linnet
