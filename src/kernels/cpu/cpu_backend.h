// The CPU backend. Its methods are defined in the files of this folder, one topic each.
#pragma once

#include "kernels/backend.h"

namespace linnet {

class CpuBackend final : public Backend {
 public:
  void Convert(const Tensor& x, const Tensor& y) override;
  void AddTo(const Tensor& x, const Tensor& y) override;
  void Scale(float factor, const Tensor& y) override;
  void Gather(const Tensor& x, std::span<const int> rows, const Tensor& y) override;
  void ScatterAdd(const Tensor& x, std::span<const int> rows, const Tensor& y) override;
  void SplitColumns(const Tensor& x, const Tensor& parts) override;
  void JoinColumns(const Tensor& parts, const Tensor& x) override;

  void Project(std::span<const Projection> products) override;
  void MatMul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& c,
              bool accumulate) override;
  void BiasActivate(const Tensor& bias, Activation act, const Tensor& y) override;
  void ActivateBackward(const Tensor& y, const Tensor& dy, Activation act, const Tensor& dz) override;
  void SumRows(const Tensor& x, const Tensor& sum) override;

  void Add(const Tensor& a, const Tensor& b, const Tensor& y) override;
  void Lerp(const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& y) override;
  void LerpBackward(const Tensor& a, const Tensor& b, const Tensor& m, const Tensor& dy, const Tensor& da,
                    const Tensor& db, const Tensor& dm) override;
  void Gate(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& y) override;
  void GateBackward(const Tensor& x, const Tensor& z, GateKind kind, const Tensor& dy, const Tensor& dx,
                    const Tensor& dz) override;
  void Gelu(const Tensor& x, const Tensor& y) override;
  void GeluBackward(const Tensor& x, const Tensor& dy, const Tensor& dx) override;
  void ScaleColumns(const Tensor& x, const Tensor& w, NumberKind kind, const Tensor& y) override;
  void ScaleColumnsBackward(const Tensor& x, const Tensor& w, NumberKind kind, const Tensor& dy,
                            const Tensor& dx, const Tensor& dw) override;
  void RowMatMul(const Tensor& x, const Tensor& matrices, const Tensor& y) override;
  void RowMatMulBackward(const Tensor& x, const Tensor& matrices, const Tensor& dy, const Tensor& dx,
                         const Tensor& dmatrices) override;
  void GroupNorm(const Tensor& x, const Tensor& w, const Tensor& b, int groups, float eps, const Tensor& y,
                 const Tensor& mean, const Tensor& rstd) override;
  void GroupNormBackward(const Tensor& x, const Tensor& w, const Tensor& mean, const Tensor& rstd,
                         const Tensor& dy, const Tensor& dx, const Tensor& dw, const Tensor& db) override;

  void ShiftMix(const Tensor& x, std::span<const Tensor> mix, MixShare share, const Sequences& sequences,
                const StateRef& state, std::span<const Tensor> ys) override;
  void ShiftMixBackward(const Tensor& x, std::span<const Tensor> mix, MixShare share,
                        const Sequences& sequences, const Tensor& state_in, std::span<const Tensor> dys,
                        const Tensor& dlast, const Tensor& dx, std::span<const Tensor> dmix,
                        const Tensor& dstate) override;
  void Previous(const Tensor& x, const Sequences& sequences, const StateRef& state, const Tensor& y) override;
  void PreviousBackward(const Tensor& dy, const Sequences& sequences, const Tensor& dlast, const Tensor& dx,
                        const Tensor& dstate) override;
  void Scan(const ScanInputs& in, ScanKind kind, const Sequences& sequences, const StateRef& state,
            const Tensor& h) override;
  void ScanBackward(const ScanInputs& in, ScanKind kind, const Sequences& sequences, const Tensor& state_in,
                    const Tensor& h, const Tensor& dh, const Tensor& dstate_out, const ScanInputs& gradients,
                    const Tensor& dstate_in) override;
  void Sru(const SruInputs& in, const Sequences& sequences, const StateRef& state, const Tensor& c,
           const Tensor& h) override;
  void SruBackward(const SruInputs& in, const Sequences& sequences, const Tensor& state_in, const Tensor& c,
                   const Tensor& dh, const Tensor& dstate_out, const SruInputs& gradients,
                   const Tensor& dstate_in) override;
  void StateSpace(const StateSpaceInputs& in, const Sequences& sequences, const StateRef& state,
                  const Tensor& y, const Tensor& snapshots) override;
  int StateSpaceSnapshots(const Sequences& sequences) const override;
  void StateSpaceBackward(const StateSpaceInputs& in, const Tensor& snapshots, const Sequences& sequences,
                          const Tensor& dy, const Tensor& dstate_out, const StateSpaceInputs& gradients,
                          const Tensor& dstate_in) override;
  void Bilinear(const DplrParameters& p, const DplrInputs& d) override;
  void BilinearBackward(const DplrParameters& p, const DplrInputs& d,
                        const DplrParameters& gradients) override;
  void DplrKernel(const DplrInputs& d, const Tensor& K) override;
  void DplrKernelBackward(const DplrInputs& d, const Tensor& dK, const DplrInputs& gradients) override;
  void DplrRecurrence(const Tensor& u, const DplrInputs& d, const Sequences& sequences, const StateRef& state,
                      const Tensor& y, const Tensor& snapshots) override;
  int DplrSnapshots(const Sequences& sequences) const override;
  void DplrRecurrenceBackward(const Tensor& u, const DplrInputs& d, const Tensor& snapshots,
                              const Sequences& sequences, const Tensor& dy, const Tensor& dstate_out,
                              const Tensor& du, const DplrInputs& gradients,
                              const Tensor& dstate_in) override;
  void LongConvolution(const Tensor& u, const Tensor& K, const Sequences& sequences,
                       const Tensor& y) override;
  void LongConvolutionBackward(const Tensor& u, const Tensor& K, const Sequences& sequences, const Tensor& dy,
                               const Tensor& du, const Tensor& dK) override;
  void Eigenvalues(const EigenInputs& p, EigenKind kind, const Tensor& a, const Tensor& gain) override;
  void EigenvaluesBackward(const EigenInputs& p, EigenKind kind, const Tensor& da, const Tensor& dgain,
                           const EigenInputs& gradients) override;
  void Wkv4Forward(const Wkv4Inputs& in, const Sequences& sequences, const StateRef& state, const Tensor& y,
                   const Tensor& snapshots) override;
  int Wkv4Snapshots(const Sequences& sequences) const override;
  void Wkv4Backward(const Wkv4Inputs& in, const Tensor& snapshots, const Sequences& sequences,
                    const StateRef& state, const Tensor& dy, const Tensor& dstate_out,
                    const Wkv4Inputs& gradients, const Tensor& dstate_in) override;
  void Wkv6Forward(const Wkv6Inputs& in, const Sequences& sequences, int heads, const StateRef& state,
                   const Tensor& y, const Tensor& snapshots) override;
  int Wkv6Snapshots(const Sequences& sequences) const override;
  void Wkv6Backward(const Wkv6Inputs& in, const Tensor& snapshots, const Sequences& sequences, int heads,
                    const Tensor& dy, const Tensor& dstate_out, const Wkv6Inputs& gradients,
                    const Tensor& dstate_in) override;
  void Wkv7Forward(const Wkv7Inputs& in, const Sequences& sequences, int heads, const StateRef& state,
                   const Tensor& y, const Wkv7Saved& saved) override;
  int Wkv7Snapshots(const Sequences& sequences) const override;
  void Wkv7Backward(const Wkv7Inputs& in, const Wkv7Saved& saved, const Sequences& sequences, int heads,
                    const Tensor& dy, const Tensor& dstate_out, const Wkv7Inputs& gradients,
                    const Tensor& dstate_in) override;
  void AttentionForward(const AttentionInputs& in, const Sequences& sequences, std::span<const int> past,
                        SoftCap soft, const AttentionCache& cache, const Tensor& y) override;
  void AttentionBackward(const Tensor& q, const Sequences& sequences, std::span<const int> past, SoftCap soft,
                         const Tensor& keys, const Tensor& values, const Tensor& y, const Tensor& dy,
                         const AttentionInputs& arrived, const AttentionInputs& gradients,
                         const AttentionInputs& before) override;
  void AftForward(const AftInputs& in, const Sequences& sequences, std::span<const int> past, int64_t window,
                  const AttentionCache& cache, const Tensor& y, const Tensor& sums) override;
  void AftBackward(const Tensor& w, const Sequences& sequences, std::span<const int> past, int64_t window,
                   const Tensor& keys, const Tensor& values, const Tensor& y, const Tensor& sums,
                   const Tensor& dy, const AftInputs& arrived, const AftInputs& gradients,
                   const AftInputs& before) override;
  void AftConv(const AftConvInputs& in, const Sequences& sequences, const AftConvState& state,
               const Tensor& y, const AftConvSaved& saved) override;
  void AftConvBackward(const AftConvInputs& in, const Sequences& sequences, const AftConvState& state,
                       const AftConvSaved& saved, const Tensor& y, const Tensor& dy,
                       const AftConvInputs& arrived, const AftConvInputs& d,
                       const AftConvInputs& before) override;
  void DivideByMass(const Tensor& x, const Tensor& q, const Tensor& k, int heads, float eps,
                    const Sequences& sequences, const StateRef& state, const Tensor& y,
                    const Tensor& sums) override;
  void DivideByMassBackward(const Tensor& q, const Tensor& y, const Tensor& sums, int heads, float eps,
                            const Sequences& sequences, const Tensor& dy, const Tensor& dstate_out,
                            const Tensor& dx, const Tensor& dq, const Tensor& dk,
                            const Tensor& dstate_in) override;
  void Lif(const Tensor& x, const Sequences& sequences, const StateRef& state, const Tensor& u,
           const Tensor& spikes) override;
  void LifBackward(const Tensor& u, const Sequences& sequences, const Tensor& dspikes,
                   const Tensor& dstate_out, const Tensor& dx, const Tensor& dstate_in) override;
  void Step(const Tensor& x, const Tensor& y) override;
  void StepBackward(const Tensor& x, const Tensor& dy, const Tensor& dx) override;
  void Rosa(const RosaInputs& in, int bits, bool unmatched_is_zero, const Sequences& sequences,
            std::span<const int> past, const RosaMemory& memory, const Tensor& y) override;
  void CellForward(CellKind kind, const CellInputs& in, const Sequences& sequences, const StateRef& state,
                   const Tensor& y, const CellSaved& saved) override;
  void CellBackward(CellKind kind, const CellInputs& in, const Sequences& sequences, const Tensor& state_in,
                    const Tensor& y, const CellSaved& saved, const Tensor& dy, const Tensor& dstate_out,
                    const CellInputs& gradients, const Tensor& dstate_in) override;
  void MakeKeys(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a, int heads,
                const Tensor& key, const Tensor& removal, const Tensor& replacement,
                const Tensor& inverse_norm) override;
  void MakeKeysBackward(const Tensor& k, const Tensor& a, const Tensor& k_k, const Tensor& k_a,
                        const Tensor& inverse_norm, const Tensor& dkey, const Tensor& dremoval,
                        const Tensor& dreplacement, const Tensor& dk, const Tensor& da, const Tensor& dk_k,
                        const Tensor& dk_a) override;
  void BonusGate(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v, const Tensor& r_k,
                 const Tensor& g, int heads, const Tensor& out) override;
  void BonusGateBackward(const Tensor& y, const Tensor& r, const Tensor& k, const Tensor& v,
                         const Tensor& r_k, const Tensor& g, int heads, const Tensor& dout,
                         const BonusGateGradients& gradients) override;

  double SoftmaxLoss(const Tensor& logits, std::span<const int> targets, bool gradient, float scale,
                     float l2_wrap) override;
  double SumSquares(std::span<const Tensor> tensors) override;
  void AdamW(std::span<const AdamWItem> items, const AdamWOptions& options) override;
};

/// Elements below which a loop is not worth a second thread: waking one costs about what this many take.
inline constexpr int64_t kGrainElements = 16384;

/// Rows of `width` elements that make up kGrainElements.
inline int64_t GrainRows(int64_t width) {
  return std::max<int64_t>(1, kGrainElements / std::max<int64_t>(width, 1));
}

}  // namespace linnet
