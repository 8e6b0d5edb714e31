#include "nn/params.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/hash.h"
#include "kernels/backend.h"

namespace linnet {
namespace {

Shape WithoutUnits(const Shape& shape) {
  Shape result;
  for (Dim dim : shape) {
    if (dim != 1) result.Append(dim);
  }
  return result;
}

/// [columns, rows] of any type to [rows, columns] of f32.
Tensor Transposed(const Tensor& x) {
  const Tensor decoded = Tensor::Empty(x.shape()), turned = Tensor::Empty({x.dim(1), x.dim(0)});
  Backend::For(x.device()).Convert(x, decoded);
  for (Dim i = 0; i < turned.dim(0); ++i) {
    for (Dim j = 0; j < turned.dim(1); ++j) {
      turned.data()[i * turned.dim(1) + j] = decoded.data()[j * turned.dim(0) + i];
    }
  }
  return turned;
}

Tensor Converted(const Tensor& x, const Shape& shape, DType type) {
  const Tensor y = Tensor::Empty(shape, type);
  Backend::For(y.device()).Convert(x, y);
  return y;
}

}  // namespace

ParamStore::ParamStore(uint64_t seed, MatrixType matrices) : seed_(seed), matrices_(matrices) {}

ParamStore::ParamStore(RandomMatrices random) : random_(random) {}

ParamStore::ParamStore(const Checkpoint& checkpoint, MatrixType matrices, Access access)
    : checkpoint_(&checkpoint), matrices_(matrices), access_(access) {}

Dim ParamStore::count() const {
  Dim count = 0;
  for (const Parameter& p : parameters_) count += p.tensor.size();
  return count;
}

Tensor ParamStore::Initialized(const std::string& name, const Shape& shape, const Init& init,
                               DType type) const {
  const Tensor values = Tensor::Empty(shape);
  Random random(seed_, Hash(name));  // a stream that belongs to the name
  init(values, random);
  return type == DType::kF32 ? values : Converted(values, shape, type);
}

DType ParamStore::HeldAs(DType stored, Role role) const {
  if (role == Role::kVector || matrices_ == MatrixType::kF32) return DType::kF32;
  if (matrices_ == MatrixType::kBf16) return DType::kBf16;
  // Blocks lie along the inputs of a product, which in a low-rank factor [in, out] are columns.
  const bool blocks = IsQuantized(stored) && role == Role::kMatrix;
  return blocks || stored == DType::kBf16 || stored == DType::kF16 ? stored : DType::kF32;
}

Tensor ParamStore::Loaded(const std::string& name, const Shape& shape, Role role) const {
  const std::string file = checkpoint_->path().string();
  const Checkpoint::Entry* entry = checkpoint_->Find(name);
  const std::string named = checkpoint_->NameInFile(name);
  Check(entry != nullptr, "{}: the tensor {} is missing", file, named);
  Check(WithoutUnits(entry->shape) == WithoutUnits(shape), "{}: {} must be {} but is {}", file, named, shape,
        entry->shape);
  Check(IsReal(entry->dtype), "{}: {} holds {}, floating-point numbers were expected", file, named,
        Traits(entry->dtype).name);
  const Tensor tensor = entry->transposed ? Transposed(checkpoint_->Load(name)) : checkpoint_->Load(name);
  const DType type = HeldAs(tensor.dtype(), role);
  if (tensor.dtype() == type && access_ == Access::kRead) return tensor.Reshape(shape);
  const Tensor converted = Converted(tensor, shape, type);
  checkpoint_->Forget(name);
  return converted;
}

Tensor ParamStore::Randomized(const Shape& shape, Role role) const {
  const Dim rows = shape[0], width = shape[-1], distinct = std::min<Dim>(rows, 64);
  const bool plain = !IsQuantized(random_->type);
  const bool fits = plain || (role == Role::kMatrix && width % Traits(random_->type).values_per_block == 0);
  const Tensor values = Tensor::Empty({distinct, width});
  Random random(seed_, static_cast<uint64_t>(rows));
  const double scale = 0.5 / std::sqrt(static_cast<double>(width));
  for (Dim i = 0; i < values.size(); ++i) values.data()[i] = static_cast<float>(scale * random.Normal());
  const DType type = fits ? random_->type : DType::kBf16;
  const Tensor few = Converted(values, values.shape(), type), all = Tensor::Empty(shape, type);
  const size_t row_bytes = few.bytes() / distinct;
  for (Dim at = 0; at < rows; at += distinct) {
    std::memcpy(static_cast<std::byte*>(all.raw()) + at * row_bytes, few.raw(),
                std::min(distinct, rows - at) * row_bytes);
  }
  return all;
}

Tensor ParamStore::Make(const std::string& name, const Shape& shape, const Init& init, Role role,
                        float lr_scale) {
  const auto made = [&] {
    if (checkpoint_ != nullptr) return Loaded(name, shape, role);
    if (random_ && role != Role::kVector) return Randomized(shape, role);
    const bool bf16 = role != Role::kVector && matrices_ == MatrixType::kBf16;
    return Initialized(name, shape, init, bf16 ? DType::kBf16 : DType::kF32);
  };
  parameters_.push_back({name, made(), role, lr_scale});
  return parameters_.back().tensor;
}

void ParamStore::CheckAllUsed(const std::vector<std::string>& ignored) const {
  if (checkpoint_ == nullptr) return;
  std::set<std::string> known(ignored.begin(), ignored.end());
  for (const Parameter& p : parameters_) known.insert(p.name);
  for (const Checkpoint::Entry& entry : checkpoint_->entries()) {
    Check(known.contains(entry.name), "{}: the tensor {} {} belongs to no part of the model",
          checkpoint_->path().string(), checkpoint_->NameInFile(entry.name), entry.shape);
  }
}

StateVar Params::State(const std::string& name, const Shape& shape, const Tensor& initial) const {
  Check(!initial || initial.shape() == shape, "[state] {}{} is {}, its initial value {}", prefix_, name,
        shape, initial ? initial.shape() : Shape());
  store_->states_.push_back({prefix_ + name, shape, initial});
  return {static_cast<int>(store_->states_.size()) - 1};
}

}  // namespace linnet
