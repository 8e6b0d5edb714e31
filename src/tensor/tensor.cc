#include "tensor/tensor.h"

#include <algorithm>
#include <cstring>

namespace linnet {

Shape::Shape(std::initializer_list<Dim> dims) {
  for (Dim dim : dims) Append(dim);
}

Dim Shape::size() const {
  Dim product = 1;
  for (Dim dim : *this) product *= dim;
  return product;
}

void Shape::Append(Dim dim) {
  Check(rank_ < 4, "[tensor] a shape has at most four extents");
  Check(dim >= 0, "[tensor] an extent cannot be {}", dim);
  dims_[rank_++] = dim;
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

std::string Shape::ToString() const {
  std::string text = "[";
  for (Dim dim : *this) text += (text.size() > 1 ? ", " : "") + std::to_string(dim);
  return text + "]";
}

Tensor Tensor::Empty(const Shape& shape, DType dtype, Device device) {
  Tensor t;
  t.impl_ = std::make_shared<Impl>();
  t.impl_->shape = shape;
  t.impl_->size = shape.size();
  t.impl_->dtype = dtype;
  t.impl_->device = device;
  t.impl_->block = HostBlock(t.bytes());
  t.impl_->data = t.impl_->block.data();
  return t;
}

Tensor Tensor::Zeros(const Shape& shape, DType dtype, Device device) {
  Tensor t = Empty(shape, dtype, device);
  std::memset(t.raw(), 0, t.bytes());
  return t;
}

Tensor Tensor::Wrap(std::shared_ptr<const void> owner, const void* data, const Shape& shape, DType dtype) {
  Tensor t;
  t.impl_ = std::make_shared<Impl>();
  t.impl_->shape = shape;
  t.impl_->size = shape.size();
  t.impl_->dtype = dtype;
  t.impl_->owner = std::move(owner);
  t.impl_->data = const_cast<void*>(data);
  return t;
}

size_t Tensor::bytes() const {
  const DTypeTraits& traits = Traits(impl_->dtype);
  return static_cast<size_t>(impl_->size / traits.values_per_block * traits.bytes_per_block);
}

Tensor Tensor::Clone() const {
  Tensor copy = Empty(shape(), dtype(), device());
  std::memcpy(copy.raw(), raw(), bytes());
  return copy;
}

Tensor Tensor::Alias() const {
  Tensor t = Wrap(impl_, raw(), shape(), dtype());
  t.impl_->device = device();
  return t;
}

Tensor Tensor::Reshape(const Shape& shape) const {
  Check(shape.size() == size(), "[tensor] {} cannot be seen as {}", this->shape(), shape);
  Tensor t = Alias();
  t.impl_->shape = shape;
  t.impl_->gradient = impl_->gradient;
  return t;
}

Tensor Tensor::Detach() const { return Alias(); }

const std::shared_ptr<Gradient>& Tensor::Track() const {
  if (!impl_->gradient) impl_->gradient = std::make_shared<Gradient>();
  return impl_->gradient;
}

const Tensor& Tensor::grad() const {
  Check(tracked(), "[tensor] has no gradient: it was never tracked");
  return impl_->gradient->value;
}

void Tensor::ClearGrad() const {
  if (tracked()) impl_->gradient->value = Tensor();
}

}  // namespace linnet
