// Generation: the time of a token at constant memory, and what the framework itself costs.
//
//   decode_bench [--layers 4] [--width 256] [--tokens 1000000] [--precision bf16]
//
// The framework's own cost is what a token takes with a backend whose kernels return at once: graph,
// allocation, checks, dispatch and nothing else.
#include <cstdio>

#include "bench/measure.h"
#include "nn/model.h"
#include "ops/ops.h"

namespace linnet::bench {
namespace {

/// A backend that computes nothing.
class NullBackend final : public Backend {
 public:
  void Convert(const Tensor&, const Tensor&) override {}
  void AddTo(const Tensor&, const Tensor&) override {}
  void Scale(float, const Tensor&) override {}
  void Gather(const Tensor&, std::span<const int>, const Tensor&) override {}
  void ScatterAdd(const Tensor&, std::span<const int>, const Tensor&) override {}
  void SplitColumns(const Tensor&, const Tensor&) override {}
  void JoinColumns(const Tensor&, const Tensor&) override {}
  void Project(std::span<const Projection>) override {}
  void MatMul(const Tensor&, bool, const Tensor&, bool, const Tensor&, bool) override {}
  void BiasActivate(const Tensor&, Activation, const Tensor&) override {}
  void ActivateBackward(const Tensor&, const Tensor&, Activation, const Tensor&) override {}
  void SumRows(const Tensor&, const Tensor&) override {}
  void Add(const Tensor&, const Tensor&, const Tensor&) override {}
  void Lerp(const Tensor&, const Tensor&, const Tensor&, const Tensor&) override {}
  void LerpBackward(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                    const Tensor&) override {}
  void Gate(const Tensor&, const Tensor&, GateKind, const Tensor&) override {}
  void GateBackward(const Tensor&, const Tensor&, GateKind, const Tensor&, const Tensor&,
                    const Tensor&) override {}
  void RowMatMul(const Tensor&, const Tensor&, const Tensor&) override {}
  void RowMatMulBackward(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) override {
  }
  void GroupNorm(const Tensor&, const Tensor&, const Tensor&, int, float, const Tensor&, const Tensor&,
                 const Tensor&) override {}
  void GroupNormBackward(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                         const Tensor&, const Tensor&, const Tensor&) override {}
  void ShiftMix(const Tensor&, std::span<const Tensor>, MixShare, const Sequences&, const StateRef&,
                std::span<const Tensor>) override {}
  void ShiftMixBackward(const Tensor&, std::span<const Tensor>, MixShare, const Sequences&, const Tensor&,
                        std::span<const Tensor>, const Tensor&, const Tensor&, std::span<const Tensor>,
                        const Tensor&) override {}
  void Wkv4Forward(const Wkv4Inputs&, const Sequences&, const StateRef&, const Tensor&,
                   const Tensor&) override {}
  int Wkv4Snapshots(const Sequences&) const override { return 0; }
  void Wkv4Backward(const Wkv4Inputs&, const Tensor&, const Sequences&, const StateRef&, const Tensor&,
                    const Tensor&, const Wkv4Inputs&, const Tensor&) override {}
  void Wkv6Forward(const Wkv6Inputs&, const Sequences&, int, const StateRef&, const Tensor&,
                   const Tensor&) override {}
  int Wkv6Snapshots(const Sequences&) const override { return 0; }
  void Wkv6Backward(const Wkv6Inputs&, const Tensor&, const Sequences&, int, const Tensor&, const Tensor&,
                    const Wkv6Inputs&, const Tensor&) override {}
  void Wkv7Forward(const Wkv7Inputs&, const Sequences&, int, const StateRef&, const Tensor&,
                   const Wkv7Saved&) override {}
  int Wkv7Snapshots(const Sequences&) const override { return 0; }
  void Wkv7Backward(const Wkv7Inputs&, const Wkv7Saved&, const Sequences&, int, const Tensor&, const Tensor&,
                    const Wkv7Inputs&, const Tensor&) override {}
  void AttentionForward(const AttentionInputs&, const Sequences&, std::span<const int>, SoftCap,
                        const AttentionCache&, const Tensor&) override {}
  void AttentionBackward(const Tensor&, const Sequences&, std::span<const int>, SoftCap, const Tensor&,
                         const Tensor&, const Tensor&, const Tensor&, const AttentionInputs&,
                         const AttentionInputs&, const AttentionInputs&) override {}
  void AftForward(const AftInputs&, const Sequences&, std::span<const int>, int64_t, const AttentionCache&,
                  const Tensor&, const Tensor&) override {}
  void AftBackward(const Tensor&, const Sequences&, std::span<const int>, int64_t, const Tensor&,
                   const Tensor&, const Tensor&, const Tensor&, const Tensor&, const AftInputs&,
                   const AftInputs&, const AftInputs&) override {}
  void AftConv(const AftConvInputs&, const Sequences&, const AftConvState&, const Tensor&,
               const AftConvSaved&) override {}
  void AftConvBackward(const AftConvInputs&, const Sequences&, const AftConvState&, const AftConvSaved&,
                       const Tensor&, const Tensor&, const AftConvInputs&, const AftConvInputs&,
                       const AftConvInputs&) override {}
  void DivideByMass(const Tensor&, const Tensor&, const Tensor&, int, float, const Sequences&,
                    const StateRef&, const Tensor&, const Tensor&) override {}
  void DivideByMassBackward(const Tensor&, const Tensor&, const Tensor&, int, float, const Sequences&,
                            const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                            const Tensor&) override {}
  void CellForward(CellKind, const CellInputs&, const Sequences&, const StateRef&, const Tensor&,
                   const CellSaved&) override {}
  void CellBackward(CellKind, const CellInputs&, const Sequences&, const Tensor&, const Tensor&,
                    const CellSaved&, const Tensor&, const Tensor&, const CellInputs&,
                    const Tensor&) override {}
  void MakeKeys(const Tensor&, const Tensor&, const Tensor&, const Tensor&, int, const Tensor&, const Tensor&,
                const Tensor&, const Tensor&) override {}
  void MakeKeysBackward(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        const Tensor&, const Tensor&) override {}
  void BonusGate(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                 int, const Tensor&) override {}
  void BonusGateBackward(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                         const Tensor&, int, const Tensor&, const BonusGateGradients&) override {}
  void Gelu(const Tensor&, const Tensor&) override {}
  void GeluBackward(const Tensor&, const Tensor&, const Tensor&) override {}
  void ScaleColumns(const Tensor&, const Tensor&, NumberKind, const Tensor&) override {}
  void ScaleColumnsBackward(const Tensor&, const Tensor&, NumberKind, const Tensor&, const Tensor&,
                            const Tensor&) override {}
  void Previous(const Tensor&, const Sequences&, const StateRef&, const Tensor&) override {}
  void PreviousBackward(const Tensor&, const Sequences&, const Tensor&, const Tensor&,
                        const Tensor&) override {}
  void Scan(const ScanInputs&, ScanKind, const Sequences&, const StateRef&, const Tensor&) override {}
  void ScanBackward(const ScanInputs&, ScanKind, const Sequences&, const Tensor&, const Tensor&,
                    const Tensor&, const Tensor&, const ScanInputs&, const Tensor&) override {}
  void Sru(const SruInputs&, const Sequences&, const StateRef&, const Tensor&, const Tensor&) override {}
  void SruBackward(const SruInputs&, const Sequences&, const Tensor&, const Tensor&, const Tensor&,
                   const Tensor&, const SruInputs&, const Tensor&) override {}
  void Rosa(const RosaInputs&, int, bool, const Sequences&, std::span<const int>, const RosaMemory&,
            const Tensor&) override {}
  void Lif(const Tensor&, const Sequences&, const StateRef&, const Tensor&, const Tensor&) override {}
  void LifBackward(const Tensor&, const Sequences&, const Tensor&, const Tensor&, const Tensor&,
                   const Tensor&) override {}
  void Step(const Tensor&, const Tensor&) override {}
  void StepBackward(const Tensor&, const Tensor&, const Tensor&) override {}
  void StateSpace(const StateSpaceInputs&, const Sequences&, const StateRef&, const Tensor&,
                  const Tensor&) override {}
  int StateSpaceSnapshots(const Sequences&) const override { return 0; }
  void StateSpaceBackward(const StateSpaceInputs&, const Tensor&, const Sequences&, const Tensor&,
                          const Tensor&, const StateSpaceInputs&, const Tensor&) override {}
  void Bilinear(const DplrParameters&, const DplrInputs&) override {}
  void BilinearBackward(const DplrParameters&, const DplrInputs&, const DplrParameters&) override {}
  void DplrKernel(const DplrInputs&, const Tensor&) override {}
  void DplrKernelBackward(const DplrInputs&, const Tensor&, const DplrInputs&) override {}
  void DplrRecurrence(const Tensor&, const DplrInputs&, const Sequences&, const StateRef&, const Tensor&,
                      const Tensor&) override {}
  int DplrSnapshots(const Sequences&) const override { return 0; }
  void DplrRecurrenceBackward(const Tensor&, const DplrInputs&, const Tensor&, const Sequences&,
                              const Tensor&, const Tensor&, const Tensor&, const DplrInputs&,
                              const Tensor&) override {}
  void LongConvolution(const Tensor&, const Tensor&, const Sequences&, const Tensor&) override {}
  void LongConvolutionBackward(const Tensor&, const Tensor&, const Sequences&, const Tensor&, const Tensor&,
                               const Tensor&) override {}
  void Eigenvalues(const EigenInputs&, EigenKind, const Tensor&, const Tensor&) override {}
  void EigenvaluesBackward(const EigenInputs&, EigenKind, const Tensor&, const Tensor&,
                           const EigenInputs&) override {}
  double SoftmaxLoss(const Tensor&, std::span<const int>, bool, float, float) override { return 0; }
  double SumSquares(std::span<const Tensor>) override { return 0; }
  void AdamW(std::span<const AdamWItem>, const AdamWOptions&) override {}
};

/// Feeds `count` tokens, one a forward pass, each the most likely after the one before.
void Generate(const LoadedModel& m, const State& state, int64_t count) {
  Batch batch;
  batch.Append({0}, 0);
  for (int64_t i = 0; i < count; ++i) {
    const Tensor logits = m.model->Forward(batch, state);
    batch.tokens[0] =
        static_cast<int>(std::max_element(logits.data(), logits.data() + m.vocab()) - logits.data());
  }
}

double OverheadPerLayer(const LoadedModel& m) {
  Backend& real = Backend::For(Device::kCpu);
  NullBackend null;
  const State state = m.NewState(1);
  Backend::Use(Device::kCpu, null);
  std::vector<double> seconds;
  for (int round = 0; round < 21; ++round) {
    Batch batch;
    batch.Append({0}, 0);
    seconds.push_back(Seconds([&] {
      for (int i = 0; i < 500; ++i) m.model->Forward(batch, state);
    }));
  }
  Backend::Use(Device::kCpu, real);
  return Median(seconds) / 500 / static_cast<double>(m.sizes.at("layers"));
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet;
  using namespace linnet::bench;
  Dim layers = 4, width = 256;
  int64_t tokens = 1000000;
  std::string precision = "bf16";
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--layers") layers = std::stoi(value);
    if (flag == "--width") width = std::stoi(value);
    if (flag == "--tokens") tokens = std::stoll(value);
    if (flag == "--precision") precision = value;
  }
  const Architecture& rwkv7 = FindArchitecture("rwkv7");
  const LoadedModel model =
      NewModel(rwkv7, rwkv7.complete_sizes({{"layers", layers}, {"width", width}, {"vocab", 256}}), 1,
               precision == "bf16" ? MatrixType::kBf16 : MatrixType::kF32);
  nlohmann::json report{{"machine", Machine()},
                        {"layers", layers},
                        {"width", width},
                        {"precision", precision},
                        {"framework_us_per_layer", OverheadPerLayer(model) * 1e6}};
  const State state = model.NewState(1);
  Generate(model, state, 1000);
  constexpr int kParts = 10;
  for (int part = 0; part < kParts; ++part) {
    const double seconds = Seconds([&] { Generate(model, state, tokens / kParts); });
    report["parts"].push_back({{"tokens_so_far", tokens / kParts * (part + 1)},
                               {"us_per_token", seconds / static_cast<double>(tokens / kParts) * 1e6},
                               {"resident_mb", static_cast<double>(ResidentBytes()) / 1e6}});
    std::fprintf(stderr, "decode_bench: %d%%\r", (part + 1) * 100 / kParts);
  }
  std::puts(report.dump(2).c_str());
}
