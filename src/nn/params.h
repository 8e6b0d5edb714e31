// Params: where a model's parameters come from. A module names, shapes and initialises each of its parameters
// in its constructor, under the name that published checkpoints use; the store behind Params fills them from
// a checkpoint or from the initialiser, and keeps the list for saving, optimizers and counting.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/checkpoint.h"
#include "nn/init.h"
#include "nn/state.h"

namespace linnet {

/// What a parameter is, which decides how it is stored and trained.
enum class Role {
  kMatrix,   // a weight of Linear or Embedding: may be bf16, decays in training
  kLowRank,  // a factor of a low-rank map: may be bf16, does not decay
  kVector,   // everything else: float32, does not decay
};

struct Parameter {
  std::string name;
  Tensor tensor;
  Role role;
  float lr_scale;  // times the learning rate
};

/// How matrices are held in memory. Vectors are always float32.
enum class MatrixType {
  kStored,  // as in the file: bf16, f16 or blocks of a quantised type; float32 if it has anything else
  kF32,     // widened exactly
  kBf16,    // rounded to bf16
};

/// Matrices of this type with random values: a model of a published shape to measure speeds with.
struct RandomMatrices {
  DType type;
};

/// Whether parameters will be written to.
enum class Access {
  kRead,   // they may lie in the read-only file
  kWrite,  // they are copied to memory
};

class ParamStore {
 public:
  /// Parameters from the initialisers.
  ParamStore(uint64_t seed, MatrixType matrices);
  /// Matrices and low-rank factors that repeat a few random rows, vectors from the initialisers. Blocks that
  /// do not fit the rows of a matrix give way to bf16.
  explicit ParamStore(RandomMatrices random);
  /// Parameters from a file, which must stay open until Detach().
  ParamStore(const Checkpoint& checkpoint, MatrixType matrices, Access access = Access::kRead);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<StateSpec>& states() const { return states_; }
  /// Number of values in all parameters.
  Dim count() const;
  /// Throws Error, naming it, if the checkpoint has a tensor that nothing asked for. `ignored` names may be
  /// left over.
  void CheckAllUsed(const std::vector<std::string>& ignored) const;
  /// Says that all parameters are made and the checkpoint object may go (the tensors keep the mapped file
  /// alive).
  void Detach() { checkpoint_ = nullptr; }

 private:
  friend class Params;
  bool Has(const std::string& name) const { return checkpoint_ != nullptr && checkpoint_->Find(name); }
  Tensor Make(const std::string& name, const Shape& shape, const Init& init, Role role, float lr_scale);
  Tensor Initialized(const std::string& name, const Shape& shape, const Init& init, DType type) const;
  Tensor Loaded(const std::string& name, const Shape& shape, Role role) const;
  Tensor Randomized(const Shape& shape, Role role) const;
  /// The type that a parameter stored as `stored` has in memory.
  DType HeldAs(DType stored, Role role) const;

  const Checkpoint* checkpoint_ = nullptr;
  std::optional<RandomMatrices> random_;
  uint64_t seed_ = 0;
  MatrixType matrices_ = MatrixType::kStored;
  Access access_ = Access::kWrite;
  std::vector<Parameter> parameters_;
  std::vector<StateSpec> states_;
};

/// A ParamStore seen through a name prefix: p / "att" / ... .
class Params {
 public:
  explicit Params(ParamStore& store, std::string prefix = "") : store_(&store), prefix_(std::move(prefix)) {}

  Params operator/(const std::string& name) const { return Params(*store_, prefix_ + name + "."); }
  Params operator/(int index) const { return *this / std::to_string(index); }

  /// Whether the checkpoint has a tensor of this name, for parameters that not every file has; false for a
  /// model from initialisers.
  bool Has(const std::string& name) const { return store_->Has(prefix_ + name); }

  /// Shapes are as published; a file's tensor may differ from them in unit extents.
  Tensor Matrix(const std::string& name, const Shape& shape, const Init& init) const {
    return store_->Make(prefix_ + name, shape, init, Role::kMatrix, 1);
  }
  Tensor LowRank(const std::string& name, const Shape& shape, const Init& init) const {
    return store_->Make(prefix_ + name, shape, init, Role::kLowRank, 1);
  }
  Tensor Vector(const std::string& name, const Shape& shape, const Init& init, float lr_scale = 1) const {
    return store_->Make(prefix_ + name, shape, init, Role::kVector, lr_scale);
  }
  /// Declares a state variable of this shape (per sequence). A sequence starts from `initial` (f32, of this
  /// shape), or from zeros if that is empty.
  StateVar State(const std::string& name, const Shape& shape, const Tensor& initial = {}) const;

 private:
  ParamStore* store_;
  std::string prefix_;
};

}  // namespace linnet
