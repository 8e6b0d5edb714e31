// An RWKV-6 or RWKV-7 under the names, layouts and keys that llama.cpp has for them (it has no other RWKV).
// Against BlinkDL's published checkpoints,
//   - low-rank factors are transposed: a row holds what is summed over;
//   - the mixing vectors of a time mix are one tensor [5 or 6, 1, 1, C], in the order w k v r g (v6) or
//     r w k v a g (v7);
//   - vectors have one extent, r_k too;
//   - the first layer of v7 has a value residual, which nothing reads: copies of a0, a1, a2;
//   - norms, vectors, and the factors w1, w2 are float32, as their products are made in that.
// Source: gguf-py/gguf/constants.py, conversion/rwkv.py, src/models/rwkv6.cpp, rwkv7.cpp and llama-vocab.cpp
// of ggml-org/llama.cpp.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "formats/gguf_writer.h"

namespace linnet {

struct GgufModel {
  std::string architecture;             // "rwkv6" or "rwkv7"
  std::string name;                     // for people
  std::vector<std::string> vocabulary;  // bytes by id; a token that stands for no text has none
  Contents published;                   // tensors under their published names
};

/// Whether llama.cpp has this low-rank factor, given by its published name, in float32; vectors all are.
bool IsFloat32InGguf(const std::string& name);

/// Throws Error, with the remedy, unless llama.cpp has the architecture.
void CheckGgufHas(const std::string& architecture, const std::filesystem::path& path);

/// Writes the model as llama.cpp reads it. Throws Error, before anything is written, if it has a tensor that
/// llama.cpp has no place for, or no vocabulary, or one of the wrong size.
void WriteGgufModel(const std::filesystem::path& path, const GgufModel& model);

/// Those of a GGUF file's metadata that say more than its tensors and vocabulary do.
std::map<std::string, std::string> MetadataFromGguf(std::map<std::string, std::string> metadata);

/// A token's bytes as GGUF spells them: Python's literal of bytes without its quotes.
std::string EscapedToken(const std::string& bytes);

}  // namespace linnet
