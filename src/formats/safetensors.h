// safetensors: u64 header length, JSON header {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...,
// "__metadata__": {string: string}}, then the tensors' bytes. Little-endian throughout.
// Source: the format description of huggingface/safetensors.
#pragma once

#include "base/file.h"
#include "formats/checkpoint.h"

namespace linnet {

/// Reads the directory of a safetensors file. Throws Error if it is malformed: a header beyond the file, an
/// unknown dtype, a shape that does not match its bytes, overlapping or gaping tensors, a name twice.
std::unique_ptr<Checkpoint> OpenSafetensors(const MappedFile& file);

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Writes `tensors` in their order, atomically: the file appears complete or not at all. Data start 64-byte
/// aligned.
void WriteSafetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata);

}  // namespace linnet
