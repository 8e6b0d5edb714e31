// Nested lists of digits, and their values: Nangia and Bowman, arXiv:1804.06028, as Long Range Arena makes
// them (Tay et al., arXiv:2011.04006; lra_benchmarks/data/listops.py).
#pragma once

#include <string>
#include <vector>

#include "base/random.h"

namespace linnet::lab {

/// Tokens 0 to 9 are digits, 10 to 13 open an operator, 14 closes one.
inline constexpr int kListOpsMin = 10, kListOpsMax = 11, kListOpsMedian = 12, kListOpsSum = 13,
                     kListOpsClose = 14;

struct ListOpsLimits {
  int64_t depth = 10, arguments = 10;  // most of each; an operator has at least 2 arguments
  int64_t shortest = 501, longest = 1999;
};

struct ListOpsTree {
  std::vector<int> tokens;
  int value = 0;
};

/// A tree whose length lies within the limits. A node at a depth below the limit (the root's is 1) is an
/// operator with a chance of a quarter, of each kind alike, and else a digit; an operator has from 2 to as
/// many arguments as are allowed, all numbers alike. Trees of other lengths are thrown away, most of them
/// single digits. MED is the median, half values cut off; SM is the sum modulo 10.
ListOpsTree DrawListOps(Random& random, const ListOpsLimits& limits);

/// "[MAX 2 9 [MIN 4 7 ] 0 ]"
std::string ListOpsWord(int token);

}  // namespace linnet::lab
