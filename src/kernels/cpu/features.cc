#include "kernels/cpu/features.h"

#include "hwy/highway.h"
#include "kernels/cpu/avx512.h"

namespace linnet {

CpuFeatures FeaturesInUse() {
  // Of the targets that are both compiled and supported, dispatch takes the one with the lowest bit.
  const int64_t usable = hwy::SupportedTargets() & HWY_TARGETS;
  std::string name = hwy::TargetName(static_cast<uint32_t>(usable & -usable));
  if (name == "AVX3") name = "AVX-512";
#ifdef LINNET_AVX512_BF16
  return {name, HasAvx512Bf16()};
#else
  return {name, false};
#endif
}

}  // namespace linnet
