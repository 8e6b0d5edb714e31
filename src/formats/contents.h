// Contents: what a checkpoint that is about to be written will hold. The writers of all formats take one, and
// ask for its tensors one by one while they write: a model is converted with no more memory than its largest
// tensor takes.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace linnet {

struct Contents {
  std::vector<Checkpoint::Entry> entries;  // in the order of the file to be
  /// The tensor of entries[i], of that shape and type. A writer asks for each once, mostly in order.
  std::function<Tensor(size_t i)> load;
  std::map<std::string, std::string> metadata;  // strings beside the tensors, where the format has a place

  /// The tensor of entries[i]. Throws Error, naming `path`, if it is not what the entry says.
  Tensor Load(size_t i, const std::filesystem::path& path) const;
};

/// A tensor's bytes, to be written.
inline std::span<const std::byte> BytesOf(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.raw()), tensor.bytes()};
}

}  // namespace linnet
