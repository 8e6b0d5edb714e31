#include "nn/conversion.h"

#include <algorithm>

#include "formats/gguf_model.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "kernels/backend.h"
#include "nn/lora.h"
#include "tensor/memory.h"

namespace linnet {
namespace {

/// The first of `type` and finer ones whose blocks make up a row.
DType FittingType(DType type, Dim row) {
  while (row % Traits(type).values_per_block != 0) {
    switch (type) {
      case DType::kQ4_K:
        type = DType::kQ5_0;
        break;
      case DType::kQ5_K:
        type = DType::kQ5_1;
        break;
      case DType::kQ6_K:
        type = DType::kQ8_0;
        break;
      default:
        return DType::kBf16;
    }
  }
  return type;
}

/// `x` as `type`; beyond the largest f16 a weight would silently become infinite.
Tensor ConvertedTo(const Tensor& x, DType type, const std::string& named) {
  const Tensor y = Tensor::Empty(x.shape(), type);
  Backend::For(y.device()).Convert(x, y);
  if (type != DType::kF16) return y;
  const auto* halves = y.data<F16>();
  const auto infinite =
      std::count_if(halves, halves + y.size(), [](F16 h) { return (h.bits & 0x7FFF) == 0x7C00; });
  Check(infinite == 0, "{} has {} values that f16 cannot hold (it ends at 65504); use --dtype bf16", named,
        infinite);
  return y;
}

}  // namespace

FileFormat FormatOfName(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".safetensors") return FileFormat::kSafetensors;
  if (extension == ".gguf") return FileFormat::kGguf;
  if (extension == ".pth") return FileFormat::kPth;
  Fail("{}: the name does not say the format; end it in .safetensors, .gguf or .pth, or give --format",
       path.string());
}

DType ConvertedType(const std::string& name, const Shape& shape, Role role, DType stored,
                    std::optional<DType> type, FileFormat format) {
  const bool is_16_bit = stored == DType::kBf16 || stored == DType::kF16;
  if (format == FileFormat::kGguf && (role == Role::kVector || IsFloat32InGguf(name))) return DType::kF32;
  if (role == Role::kVector) return is_16_bit && type != DType::kF32 ? stored : DType::kF32;
  if (role == Role::kLowRank && (type ? IsQuantized(*type) : IsQuantized(stored))) {
    return is_16_bit ? stored : DType::kBf16;
  }
  if (!type) return stored == DType::kF64 ? DType::kF32 : stored;
  if (!IsQuantized(*type)) return *type;
  const bool finer = name == "head.weight" && type != DType::kQ8_0;
  return FittingType(finer ? DType::kQ6_K : *type, shape[-1]);
}

Conversion::Conversion(const std::filesystem::path& source, FileFormat format, std::optional<DType> type)
    : source_(Checkpoint::Open(source)), model_(LoadModel(source)), format_(format) {
  if (format == FileFormat::kGguf) CheckGgufHas(model_.architecture->name, source);
  metadata_ = model_.format == "gguf" ? MetadataFromGguf(model_.metadata) : model_.metadata;
  std::map<std::string, const Parameter*> parameters;
  for (const Parameter& p : model_.params->parameters()) parameters[p.name] = &p;
  for (const Checkpoint::Entry& entry : source_->entries()) {
    const auto found = parameters.find(entry.name);
    if (found == parameters.end()) continue;
    const auto& [name, tensor, role, lr_scale] = *found->second;
    const Shape shape = tensor.shape();
    const DType to = ConvertedType(name, shape, role, entry.dtype, type, format);
    Check(format != FileFormat::kPth || !IsQuantized(to),
          "{}: would hold {}, and torch has no such type; write a .gguf or .safetensors, or choose --dtype "
          "bf16",
          name, Traits(to).name);
    items_.push_back({name, shape, role, entry.dtype, to});
    // Blocks that run along the other extent are decoded in the model.
    held_.push_back(entry.transposed ? tensor : Tensor());
    parameters_.push_back(tensor);
  }
}

void Conversion::Put(const std::string& name, const Tensor& values) {
  auto found = std::ranges::find(items_, name, &Item::name);
  if (found == items_.end()) {
    held_.emplace_back();
    parameters_.emplace_back();
    found = items_.insert(items_.end(), {name, values.shape(), Role::kVector, DType::kF32, DType::kF32});
  }
  held_[found - items_.begin()] = values;
}

Tensor Conversion::Converted(size_t i) const {
  const Item& item = items_[i];
  const auto adapters =
      adapters_ && parameters_[i] ? adapters_->Of(parameters_[i]) : std::span<const Adapter>();
  const Tensor held = adapters.empty() ? held_[i] : Folded(parameters_[i], adapters);
  const Tensor stored = held ? held : source_->Load(item.name);
  if (stored.dtype() == item.to) return stored.Reshape(item.shape);
  return ConvertedTo(stored, item.to, fmt::format("{}: {}", source_->path().string(), item.name))
      .Reshape(item.shape);
}

void Conversion::Write(const std::filesystem::path& target, const std::vector<std::string>& vocabulary,
                       const std::function<void(size_t i)>& on_tensor) const {
  Contents contents;
  for (const Item& item : items_) contents.entries.push_back({item.name, item.shape, item.to});
  contents.load = [&](size_t i) {
    if (on_tensor) on_tensor(i);
    TrimHostMemory();  // the blocks of the tensors before, whose sizes are others
    return Converted(i);
  };
  contents.metadata = metadata_;
  switch (format_) {
    case FileFormat::kSafetensors:
      return WriteSafetensors(target, contents);
    case FileFormat::kPth:
      return WritePth(target, contents);
    case FileFormat::kGguf:
      return WriteGgufModel(
          target, {model_.architecture->name, target.stem().string(), vocabulary, std::move(contents)});
  }
}

}  // namespace linnet
