// Tensor: a value handle to {shape, dtype, device, storage} and, in training, to the place of its gradient.
//
// Row-major, rank at most 4. No strides, views or broadcasting: an operation that needs another layout is an
// op. Copying a Tensor shares its storage; Clone() copies it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "base/check.h"
#include "tensor/dtype.h"
#include "tensor/memory.h"

namespace linnet {

using Dim = int64_t;

/// Up to four extents.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims);

  int rank() const { return rank_; }
  Dim operator[](int i) const { return dims_[i < 0 ? i + rank_ : i]; }
  /// Number of elements (1 for rank 0).
  Dim size() const;
  const Dim* begin() const { return dims_.data(); }
  const Dim* end() const { return dims_.data() + rank_; }
  void Append(Dim dim);
  bool operator==(const Shape& other) const;
  /// "[2, 3, 4]"
  std::string ToString() const;

 private:
  std::array<Dim, 4> dims_{};
  int rank_ = 0;
};

/// Where a tensor's storage lies. The CPU is the only device so far; a backend adds its own.
enum class Device : uint8_t { kCpu };

class Tensor;

/// A C++ type's DType, for the checked access of Tensor::data.
template <class T>
inline constexpr DType kDTypeOf = [] { static_assert(sizeof(T) == 0, "no DType for this type"); }();
template <>
inline constexpr DType kDTypeOf<float> = DType::kF32;
template <>
inline constexpr DType kDTypeOf<Bf16> = DType::kBf16;
template <>
inline constexpr DType kDTypeOf<F16> = DType::kF16;
template <>
inline constexpr DType kDTypeOf<double> = DType::kF64;
template <>
inline constexpr DType kDTypeOf<int32_t> = DType::kI32;
template <>
inline constexpr DType kDTypeOf<int64_t> = DType::kI64;
template <>
inline constexpr DType kDTypeOf<uint8_t> = DType::kU8;

/// Where a tracked tensor's gradient is gathered during Backward. It outlives the tensor's data: a backward
/// step that needs only dL/dy holds this and lets y go.
struct Gradient;

class Tensor {
 public:
  Tensor() = default;

  /// Uninitialised storage, aligned to 64 bytes.
  static Tensor Empty(const Shape& shape, DType dtype = DType::kF32, Device device = Device::kCpu);
  static Tensor Zeros(const Shape& shape, DType dtype = DType::kF32, Device device = Device::kCpu);
  /// Memory of somebody else's (a mapped file), kept alive by `owner`. It must not be written to if it is
  /// read-only.
  static Tensor Wrap(std::shared_ptr<const void> owner, const void* data, const Shape& shape, DType dtype);

  explicit operator bool() const { return impl_ != nullptr; }
  const Shape& shape() const { return impl_->shape; }
  Dim dim(int i) const { return impl_->shape[i]; }
  Dim size() const { return impl_->size; }
  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->device; }
  size_t bytes() const;
  /// How many handles share this tensor.
  long use_count() const { return impl_.use_count(); }

  void* raw() const { return impl_->data; }
  /// The elements; T must be the C++ type of dtype().
  template <class T = float>
  T* data() const {
    Check(impl_->dtype == kDTypeOf<T>, "[tensor] holds {}, {} was asked for", Traits(impl_->dtype).name,
          Traits(kDTypeOf<T>).name);
    return static_cast<T*>(impl_->data);
  }

  Tensor Clone() const;
  /// The same storage (and gradient) under another shape of the same size.
  Tensor Reshape(const Shape& shape) const;
  /// The same storage, tracked by nobody.
  Tensor Detach() const;

  /// Whether ops that read this tensor are recorded for Backward.
  bool tracked() const { return impl_ && impl_->gradient; }
  /// Makes it so, and returns where its gradient goes.
  const std::shared_ptr<Gradient>& Track() const;
  /// Null if not tracked.
  const std::shared_ptr<Gradient>& gradient() const { return impl_->gradient; }
  /// dL/d(this) after Backward; an empty Tensor if nothing arrived.
  const Tensor& grad() const;
  void ClearGrad() const;

 private:
  struct Impl {
    Shape shape;
    Dim size = 0;
    DType dtype = DType::kF32;
    Device device = Device::kCpu;
    void* data = nullptr;
    HostBlock block;                    // the elements, if they are this tensor's own
    std::shared_ptr<const void> owner;  // what keeps them alive if they are somebody else's
    std::shared_ptr<Gradient> gradient;
  };
  /// A new handle to the same elements.
  Tensor Alias() const;

  std::shared_ptr<Impl> impl_;
};

struct Gradient {
  Tensor value;
};

}  // namespace linnet

/// Shapes print as "[2, 3, 4]"; in a Check only when it fails.
template <>
struct fmt::formatter<linnet::Shape> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  template <class Context>
  auto format(const linnet::Shape& shape, Context& context) const {
    const std::string text = shape.ToString();
    return std::copy(text.begin(), text.end(), context.out());
  }
};
