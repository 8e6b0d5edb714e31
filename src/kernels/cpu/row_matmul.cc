// Each row times a matrix of its own: RWKV-7's deep embedding, whose token brings the matrix.
#include "base/parallel.h"
#include "kernels/cpu/cpu_backend.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_matmul.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h, as every file that is compiled per target must have it.
#include "kernels/cpu/row_sums.h"

HWY_BEFORE_NAMESPACE();
namespace linnet {
namespace HWY_NAMESPACE {

/// y = x m, with m of `in` rows and `out` columns.
void RowTimesMatrix(const float* x, const float* m, size_t in, size_t out, float* y) {
  std::memset(y, 0, out * sizeof(float));
  AddWeightedRows(x, 0, 1, m, in, out, y);
}

/// dx = m dy, dm = x^T dy.
void RowTimesMatrixBackward(const float* x, const float* m, const float* dy, size_t in, size_t out, float* dx,
                            float* dm) {
  DotRows(dy, m, in, out, 0, dx);
  for (size_t i = 0; i < in; ++i) {
    const Vec factor = hn::Set(F32(), x[i]);
    ForLanes(out, [&](auto io, size_t j)
                      HWY_ATTR { io.Store(hn::Mul(factor, io.Load(dy + j)), dm + i * out + j); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace linnet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace linnet {
HWY_EXPORT(RowTimesMatrix);
HWY_EXPORT(RowTimesMatrixBackward);

void CpuBackend::RowMatMul(const Tensor& x, const Tensor& matrices, const Tensor& y) {
  const int64_t in = x.dim(1), out = y.dim(1);
  ParallelFor(x.dim(0), GrainRows(in * out), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      HWY_DYNAMIC_DISPATCH(RowTimesMatrix)
      (x.data() + i * in, matrices.data() + i * in * out, in, out, y.data() + i * out);
    }
  });
}

void CpuBackend::RowMatMulBackward(const Tensor& x, const Tensor& matrices, const Tensor& dy,
                                   const Tensor& dx, const Tensor& dmatrices) {
  const int64_t in = x.dim(1), out = dy.dim(1);
  ParallelFor(x.dim(0), GrainRows(in * out), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      HWY_DYNAMIC_DISPATCH(RowTimesMatrixBackward)
      (x.data() + i * in, matrices.data() + i * in * out, dy.data() + i * out, in, out, dx.data() + i * in,
       dmatrices.data() + i * in * out);
    }
  });
}

}  // namespace linnet
#endif  // HWY_ONCE
