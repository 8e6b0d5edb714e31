// The weights of a model in training: every value in float32. A model that computes in bf16 reads rounded
// copies of its matrices; small updates would be lost in those, so the optimizer works on float32 masters
// that were never rounded.
#pragma once

#include <filesystem>
#include <vector>

#include "nn/model.h"
#include "train/options.h"

namespace linnet {

struct TrainableModel {
  LoadedModel model;
  /// In the order of the parameters: empty where the parameter is float32 and so its own master.
  std::vector<Tensor> masters;

  const std::vector<Parameter>& parameters() const { return model.params->parameters(); }
  /// The float32 values of parameter i.
  const Tensor& values(size_t i) const { return masters[i] ? masters[i] : parameters()[i].tensor; }
};

/// A fresh model; `matrices` is kF32 or kBf16. Its parameters are tracked by tapes.
TrainableModel NewTrainable(const Architecture& architecture, const Sizes& sizes, uint64_t seed,
                            MatrixType matrices);

/// The same with the values of a model file, copied out of it.
TrainableModel LoadTrainable(const std::filesystem::path& path, MatrixType matrices);

/// The sizes of the fresh model that the options describe. Throws Error if they do not fit together.
Sizes FreshSizes(const TrainOptions& options);

/// What a run begins with: the model in `file` or, where that is empty, a fresh one as the options describe
/// it. Throws Error, naming the flag, if a size that was asked for is not the file's, or sizes do not fit
/// together.
TrainableModel StartingWeights(const TrainOptions& options, const std::filesystem::path& file);

/// Puts the model's architecture and sizes into the options, and what follows from the architecture.
void CompleteOptions(TrainOptions& options, const LoadedModel& model);

}  // namespace linnet
