// safetensors: u64 header length, JSON header {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ...,
// "__metadata__": {string: string}}, then the tensors' bytes. Little-endian throughout.
// Source: the format description of huggingface/safetensors.
//
// The format has no block types. linnet stores a matrix of blocks as U8 [rows, bytes per row] and says in the
// metadata what it is: "linnet.quantized.NAME": "q4_k"; other readers then see bytes, linnet the matrix.
#pragma once

#include "base/file.h"
#include "formats/contents.h"

namespace linnet {

/// Reads the directory of a safetensors file. Throws Error if it is malformed: a header beyond the file, an
/// unknown dtype, a shape that does not match its bytes, overlapping or gaping tensors, a name twice, a block
/// type that does not fit its tensor.
std::unique_ptr<Checkpoint> OpenSafetensors(const MappedFile& file);

/// Writes `contents` atomically: the file appears complete or not at all. Data start 64-byte aligned.
void WriteSafetensors(const std::filesystem::path& path, const Contents& contents);

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Tensors that are all in memory.
Contents ContentsOf(std::vector<NamedTensor> tensors, const std::map<std::string, std::string>& metadata);

/// Writes those.
void WriteSafetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                      const std::map<std::string, std::string>& metadata);

}  // namespace linnet
