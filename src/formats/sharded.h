// A model in several files, as Hugging Face's libraries write it: an index in JSON,
//
//     {"metadata": {...}, "weight_map": {"TENSOR": "FILE", ...}}
//
// beside the files that it names: model.safetensors.index.json, pytorch_model.bin.index.json.
// Source: transformers, modeling_utils.
#pragma once

#include <filesystem>

#include "base/file.h"
#include "formats/checkpoint.h"

namespace linnet {

/// The model in a folder: its model.safetensors, or pytorch_model.bin, or the index of one of these. `path`
/// itself if it is no folder. Throws Error if the folder has none.
std::filesystem::path ModelIn(const std::filesystem::path& path);

/// Whether a file that begins with `text` looks like JSON.
bool IsShardIndex(std::string_view text);

/// Which tensor lies in which file. Throws Error if the index is malformed, names a tensor twice, or names a
/// file outside of its own folder.
std::map<std::string, std::string> ReadShardIndex(const MappedFile& index);

/// The model that `index` describes, its files opened by `open`. Throws Error, naming file and tensor, if a
/// file is missing, or one's tensors are not those that the index says.
std::unique_ptr<Checkpoint> OpenSharded(const MappedFile& index,
                                        std::unique_ptr<Checkpoint> (*open)(const MappedFile& file));

}  // namespace linnet
