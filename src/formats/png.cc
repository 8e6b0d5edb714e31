#include "formats/png.h"

#include <zlib.h>

#include "base/check.h"

namespace linnet {
namespace {

std::string BigEndian(uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift);
  return bytes;
}

std::string Chunk(const std::string& letters, const std::string& bytes) {
  const std::string body = letters + bytes;
  const auto crc = static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
  return BigEndian(static_cast<uint32_t>(bytes.size())) + body + BigEndian(crc);
}

std::string Compressed(const std::string& bytes) {
  uLongf size = compressBound(bytes.size());
  std::string result(size, '\0');
  const int outcome =
      compress2(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
                bytes.size(), Z_BEST_COMPRESSION);
  Check(outcome == Z_OK, "[png] compression failed with code {}", outcome);
  result.resize(size);
  return result;
}

}  // namespace

std::string Png(int width, int height, std::span<const uint8_t> pixels) {
  const size_t row = 3 * static_cast<size_t>(width);
  Check(width > 0 && height > 0 && pixels.size() == row * static_cast<size_t>(height),
        "[png] {} bytes are no picture of {} x {}", pixels.size(), width, height);
  std::string rows;
  for (int y = 0; y < height; ++y) {
    rows += '\0';
    rows.append(reinterpret_cast<const char*>(pixels.data()) + row * static_cast<size_t>(y), row);
  }
  const std::string header = BigEndian(static_cast<uint32_t>(width)) +
                             BigEndian(static_cast<uint32_t>(height)) + std::string("\x08\x02\0\0\0", 5);
  return "\x89PNG\r\n\x1a\n" + Chunk("IHDR", header) + Chunk("IDAT", Compressed(rows)) + Chunk("IEND", "");
}

}  // namespace linnet
