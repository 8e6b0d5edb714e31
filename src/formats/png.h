// PNG pictures, written: 8 bits of red, green and blue a pixel, no filter, no interlace.
//
//     89 "PNG" 0D 0A 1A 0A, then chunks: u32 length, 4 letters, the bytes, u32 CRC-32 of letters and bytes
//     IHDR  u32 width, u32 height, bits 8, colour type 2, compression 0, filter 0, interlace 0
//     IDAT  a zlib stream of the rows, from the top, a filter byte 0 before each
//     IEND  nothing
//
// Numbers are big-endian. Source: the PNG specification, third edition (W3C).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace linnet {

/// The file of a picture of `width` x `height` pixels, three bytes each, row after row from the top.
std::string Png(int width, int height, std::span<const uint8_t> pixels);

}  // namespace linnet
