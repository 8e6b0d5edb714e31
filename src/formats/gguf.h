// GGUF, versions 2 and 3, as llama.cpp writes it. Little-endian:
//
//     "GGUF"  u32 version  u64 tensors  u64 values
//     values x  { string key, u32 type, value }            string: u64 length, bytes
//     tensors x { string name, u32 rank, rank x u64 extents (fastest first), u32 type, u64 offset }
//     padding to general.alignment (32 if not given), then the tensors' bytes, at their offsets from here
//
// A value's type is u8 i8 u16 i16 u32 i32 f32 bool string array u64 i64 f64, numbered from 0; an array is u32
// type, u64 count, values. Source: docs/gguf.md of ggml, src/llama-vocab.cpp of llama.cpp.
#pragma once

#include <string_view>

#include "base/file.h"
#include "formats/checkpoint.h"

namespace linnet {

/// In front of the metadata that are linnet's own, not llama.cpp's; they are read without it.
inline constexpr std::string_view kOwnGgufKeys = "linnet.";

/// Reads the directory of a GGUF file; tensors keep llama.cpp's names. metadata() are its single values,
/// vocabulary() the tokens of an RWKV World tokenizer. Throws Error if it is malformed: counts and lengths
/// beyond the file, tensors that overlap, types that linnet does not have, a key or name twice.
std::unique_ptr<Checkpoint> OpenGguf(const MappedFile& file);

/// The bytes of a token as GGUF spells it: like a Python literal of bytes without its quotes (\n, \t, \r,
/// \xFF, and a backslash in front of a character that stands for itself). Throws Error, with `where` in
/// front, if an escape is cut short.
std::string UnescapedToken(std::string_view text, const std::string& where);

}  // namespace linnet
