// rwkv.cpp's .bin ("ggmf"). Little-endian, until the end of the file:
//
//     u32 0x67676D66  u32 version (100 or 101)  u32 vocabulary  u32 width  u32 layers  u32 type
//     { u32 rank, u32 length of the name, u32 type, rank x u32 extents (fastest first), name, data } ...
//
// Types: 0 FP32, 1 FP16, 2 Q4_0, 3 Q4_1, 7 Q5_0, 8 Q5_1, 9 Q8_0. Version 101 means the blocks of ggml since
// May 2023, which are today's; the blocks of version 100 were others, and rwkv.cpp reads them no more. Data
// are not aligned. Source: rwkv.cpp, docs/FILE_FORMAT.md and rwkv_file_format.inc.
#pragma once

#include "base/file.h"
#include "formats/checkpoint.h"

namespace linnet {

/// Reads the directory of an rwkv.cpp file; tensors keep its layouts. Throws Error if it is malformed, or has
/// quantised tensors of version 100.
std::unique_ptr<Checkpoint> OpenRwkvCpp(const MappedFile& file);

}  // namespace linnet
