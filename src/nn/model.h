// Model: what the trainer, the generator and the tests know of an architecture; and the table of
// architectures.
//
// One Forward serves training, prefill and decoding: what differs is the batch (many rows a sequence or one),
// the state's mode, and whether a Tape is in scope. It is const and keeps nothing, so any number of threads
// may share a model.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/batch.h"
#include "nn/params.h"
#include "nn/state.h"

namespace linnet {

/// The sizes that define a model of an architecture: "layers", "width", "vocab", ... .
using Sizes = std::map<std::string, Dim>;

class Model {
 public:
  virtual ~Model() = default;

  /// What the head reads, after the last norm: [rows wanted, C]. Reads and updates the state in the batch's
  /// slots.
  virtual Tensor Hidden(const Batch& batch, const State& state) const = 0;
  /// The output matrix [V, C].
  virtual const Tensor& head() const = 0;
  /// What is added to the logits [V]; empty in most.
  virtual Tensor head_bias() const { return {}; }

  /// The logits of the rows wanted, [rows, V].
  Tensor Forward(const Batch& batch, const State& state) const;
};

/// An architecture: how to recognise its checkpoints and how to build it.
struct Architecture {
  std::string name;   // "rwkv7": --arch, and the metadata of checkpoints
  std::string title;  // for people
  /// Whether a checkpoint's names are of this architecture.
  bool (*matches)(const Checkpoint& checkpoint);
  /// Its sizes, read off shapes. Throws Error, naming the tensor, if shapes contradict each other.
  Sizes (*read_sizes)(const Checkpoint& checkpoint);
  /// Completes the sizes that a user gave (layers, width, head_size, vocab) with those that follow from them.
  /// Throws Error if they do not fit together.
  Sizes (*complete_sizes)(Sizes sizes);
  std::unique_ptr<Model> (*make)(const Params& params, const Sizes& sizes);
  /// Tensors that checkpoints may hold and no computation uses.
  std::vector<std::string> ignored = {};
  /// Floating-point operations of one forward pass per token that are not in the products with parameters
  /// (those are 2 per parameter): the recurrence.
  double (*recurrence_flops)(const Sizes& sizes);
  /// Whether its wkv states are [H, key, value]; published initial states (time_state) are always [H, value,
  /// key].
  bool state_is_key_value = false;
  /// Why it only runs and cannot be trained; empty for those that can.
  std::string untrainable = {};
};

/// All architectures; defined in models/registry.cc.
std::span<const Architecture> Architectures();
/// By name. Throws Error, listing the known ones, if there is none.
const Architecture& FindArchitecture(const std::string& name);
/// Throws Error, saying why, if it cannot be trained.
void CheckTrainable(const Architecture& architecture);

/// A model with everything that belongs to it.
struct LoadedModel {
  const Architecture* architecture = nullptr;
  Sizes sizes;
  std::unique_ptr<ParamStore> params;
  std::unique_ptr<Model> model;
  std::map<std::string, std::string> metadata;  // of the file; empty for a fresh model
  std::vector<std::string> vocabulary;          // bytes of each token, if the file holds them
  std::string format;                           // of the file: "safetensors", "pth"; empty for a fresh model

  State NewState(int slots, State::Mode mode = State::Mode::kInPlace) const {
    return {params->states(), slots, mode};
  }
  Dim vocab() const { return sizes.at("vocab"); }
};

/// Opens a model file: finds the architecture, reads the sizes, loads the parameters (in place where they can
/// be used as they lie in the file). Throws Error naming the file and the tensor if anything is missing, left
/// over or of the wrong shape. `chosen` are sizes that files do not hold ("context"); it throws Error if the
/// architecture has no such size.
LoadedModel LoadModel(const std::filesystem::path& path, MatrixType matrices = MatrixType::kStored,
                      Access access = Access::kRead, const Sizes& chosen = {});

/// A fresh model of complete sizes.
LoadedModel NewModel(const Architecture& architecture, const Sizes& sizes, uint64_t seed,
                     MatrixType matrices = MatrixType::kF32);
/// A model of complete sizes that knows nothing, to measure speeds with.
LoadedModel NewModel(const Architecture& architecture, const Sizes& sizes, RandomMatrices random);

}  // namespace linnet
