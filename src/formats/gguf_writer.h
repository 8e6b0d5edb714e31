// GGUF version 3, written: "GGUF", u32 version, u64 tensors, u64 values; the values {key, u32 type, value};
// the tensors {name, u32 rank, extents with the innermost first, u32 type, u64 offset}; then the data, each
// tensor at a multiple of 32 bytes. A string is a u64 length and its bytes; an array its elements' u32 type,
// their u64 number, the elements. Little-endian throughout.
// Source: docs/gguf.md of ggml-org/ggml.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "formats/contents.h"

namespace linnet {

using GgufValue =
    std::variant<uint32_t, float, bool, std::string, std::vector<std::string>, std::vector<int32_t>>;
using GgufValues = std::vector<std::pair<std::string, GgufValue>>;

/// Writes `values`, in their order, and the tensors of `contents` (not its metadata), atomically. Throws
/// Error if a tensor is of a type that GGUF has not.
void WriteGguf(const std::filesystem::path& path, const GgufValues& values, const Contents& contents);

}  // namespace linnet
