// Files that ship with the program: found relative to it, so that a folder that was moved goes on working.
#pragma once

#include <filesystem>
#include <string>

namespace linnet {

/// Where a file of that path in the repository lies: "data/howto.jsonl", "models/starter.safetensors". Looked
/// for in the folder of the program and the three above it, and in share/linnet beside the program's folder;
/// a model first in the folder that LINNET_MODELS names. Empty if there is none.
std::filesystem::path FindShipped(const std::filesystem::path& file);

/// The model that ships with the program. Throws Error, saying what to do, if it is not there.
std::string StarterModel();

}  // namespace linnet
