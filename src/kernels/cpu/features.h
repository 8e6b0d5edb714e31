// Which instructions of this CPU the kernels use.
#pragma once

#include <string>

namespace linnet {

/// The vector instructions that Highway's kernels run with here, as "AVX-512"; and whether products of bf16
/// have instructions of their own (kernels/cpu/avx512.h).
struct CpuFeatures {
  std::string vectors;
  bool bf16_products;
};
CpuFeatures FeaturesInUse();

}  // namespace linnet
