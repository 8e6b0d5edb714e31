#include "formats/png.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

uint32_t BigEndian(const std::string& text, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<unsigned char>(text.at(at + i));
  return number;
}

TEST(Png, ReadsBack) {
  std::vector<uint8_t> pixels(5 * 3 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(7 * i);
  const std::string file = Png(5, 3, pixels);
  ASSERT_TRUE(file.starts_with("\x89PNG\r\n\x1a\n"));
  std::string letters, data;
  for (size_t at = 8; at < file.size();) {
    const uint32_t length = BigEndian(file, at);
    const std::string body = file.substr(at + 4, 4 + length);
    EXPECT_EQ(BigEndian(file, at + 8 + length),
              crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
    letters += body.substr(0, 4) + " ";
    if (body.starts_with("IHDR")) {
      EXPECT_EQ(body.substr(4), std::string("\0\0\0\5\0\0\0\3\x08\2\0\0\0", 13));
    }
    if (body.starts_with("IDAT")) data = body.substr(4);
    at += 12 + length;
  }
  EXPECT_EQ(letters, "IHDR IDAT IEND ");
  std::vector<uint8_t> rows(3 * 16);
  uLongf size = rows.size();
  ASSERT_EQ(uncompress(rows.data(), &size, reinterpret_cast<const Bytef*>(data.data()), data.size()), Z_OK);
  ASSERT_EQ(size, rows.size());
  for (size_t y = 0; y < 3; ++y) {
    EXPECT_EQ(rows[16 * y], 0);
    for (size_t i = 0; i < 15; ++i) EXPECT_EQ(rows[16 * y + 1 + i], pixels[15 * y + i]);
  }
}

TEST(Png, AWrongNumberOfPixelsIsRefused) {
  const std::vector<uint8_t> pixels(10);
  EXPECT_THROW(Png(2, 2, pixels), Error);
  EXPECT_THROW(Png(0, 0, {}), Error);
}

}  // namespace
}  // namespace linnet
