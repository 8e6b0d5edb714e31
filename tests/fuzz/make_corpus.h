// Writes the fuzzers' seeds.
#pragma once

#include <filesystem>
#include <string>

namespace linnet {

void Save(const std::filesystem::path& folder, const std::string& name, const std::string& text);
/// Whole small models as other programs write them: seeds for gguf, rwkv_cpp, names and shard_index.
void MakeModels(const std::filesystem::path& corpus);

}  // namespace linnet
