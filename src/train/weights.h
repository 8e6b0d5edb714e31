// The weights of a model in training: every value in float32. A model that computes in bf16 reads rounded
// copies of its matrices; small updates would be lost in those, so the optimizer works on float32 masters
// that were never rounded.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "nn/model.h"
#include "train/options.h"

namespace linnet {

/// What an optimizer works on: a parameter or, where several processes share the work, some consecutive
/// elements of one, which are then a tensor of rank 1.
struct Trained {
  Parameter parameter;
  Tensor master;     // empty where the parameter is float32 and so its own master
  Dim begin = 0;     // the first of its elements in the whole parameter
  Shape whole = {};  // of the whole parameter
};

struct TrainableModel {
  LoadedModel model;
  /// In the order of the parameters: empty where the parameter is float32 and so its own master.
  std::vector<Tensor> masters;
  /// What is trained, and alone is tracked by tapes, has gradients, masters and moments: the parameters of
  /// the model or some of them or, in its stead, adapters or initial states (train/tuning.h).
  std::vector<Parameter> trainable;
  /// Of adapters that began as a part of the model (PiSSA): their values at the beginning, by name.
  std::map<std::string, Tensor> beginnings;
  /// What the file of adapters or states says about its model; empty where a file holds the model itself.
  std::map<std::string, std::string> metadata;

  const std::vector<Parameter>& parameters() const { return trainable; }
  /// The float32 values of parameter i.
  const Tensor& values(size_t i) const { return masters[i] ? masters[i] : parameters()[i].tensor; }
  /// Whether frozen weights are another file's, so that checkpoints hold what is trained alone.
  bool beside_model() const { return !metadata.empty(); }
  /// What a checkpoint's file of weights holds, where the parameters have these values.
  std::vector<NamedTensor> Contents(const std::vector<Tensor>& parameter_values) const;
  std::vector<NamedTensor> Contents() const;
  /// All that is trained, each tensor as a whole.
  std::vector<Trained> trained() const;
};

/// `count` consecutive elements of x as a tensor of rank 1 that shares its memory.
Tensor Elements(const Tensor& x, Dim begin, Dim count);

/// Whether a parameter is trained. An empty function: all are.
using Chosen = std::function<bool(const Parameter&)>;

/// A fresh model; `matrices` is kF32 or kBf16. The chosen parameters are tracked by tapes.
TrainableModel NewTrainable(const Architecture& architecture, const Sizes& sizes, uint64_t seed,
                            MatrixType matrices, const Chosen& chosen = {});

/// The same with the values of a model file, copied out of it.
TrainableModel LoadTrainable(const std::filesystem::path& path, MatrixType matrices,
                             const Chosen& chosen = {});

/// The sizes of the fresh model that the options describe. Throws Error if they do not fit together.
Sizes FreshSizes(const TrainOptions& options);

/// What a run begins with: the weights that a checkpoint of it `saved` or, where that is empty, those of
/// --init or a fresh model as the options describe it. Throws Error, naming the flag, if a size that was
/// asked for is not the file's, or sizes do not fit together.
TrainableModel StartingWeights(const TrainOptions& options, const std::filesystem::path& saved);

/// Throws Error, naming the flag, if the model that was loaded from `path` is not what the options ask for.
void CheckAsAsked(const TrainOptions& options, const LoadedModel& model, const std::filesystem::path& path);

/// Puts the model's architecture and sizes into the options, and what follows from the architecture.
void CompleteOptions(TrainOptions& options, const LoadedModel& model);

}  // namespace linnet
