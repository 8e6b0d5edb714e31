#include "formats/contents.h"

namespace linnet {

Tensor Contents::Load(size_t i, const std::filesystem::path& path) const {
  const Checkpoint::Entry& entry = entries[i];
  const Tensor tensor = load(i);
  Check(static_cast<bool>(tensor), "{}: cannot be written: the tensor {} is null", path.string(), entry.name);
  Check(tensor.shape() == entry.shape && tensor.dtype() == entry.dtype,
        "{}: cannot be written: the tensor {} should be {} {} but is {} {}", path.string(), entry.name,
        Traits(entry.dtype).name, entry.shape, Traits(tensor.dtype()).name, tensor.shape());
  return tensor;
}

}  // namespace linnet
