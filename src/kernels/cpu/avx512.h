// What Highway 1.0 does not offer: x86's dot products of bf16 pairs (VDPBF16PS), twice the rate of float32's
// multiply-adds. Files that use them are written in intrinsics, for this one target, and are asked for at run
// time.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#define LINNET_AVX512_BF16 1
#define LINNET_AVX512_TARGET "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c,fma,avx2"
/// Marks a function that is compiled for that target.
#define LINNET_AVX512 __attribute__((target(LINNET_AVX512_TARGET)))
/// The same for lambdas, which do not inherit it, and for functions that must vanish in their callers.
#define LINNET_AVX512_LAMBDA __attribute__((target(LINNET_AVX512_TARGET), always_inline))
#define LINNET_AVX512_INLINE LINNET_AVX512_LAMBDA inline

namespace linnet {

/// Whether this CPU has them.
inline bool HasAvx512Bf16() {
  static const bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bf16");
  return has;
}

}  // namespace linnet
#endif
