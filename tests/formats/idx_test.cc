#include "formats/idx.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "base/file.h"
#include "formats/refusal.h"

namespace linnet {
namespace {

using std::string_literals::operator""s;
const std::string kHead = "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"s;

std::string Compressed(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST(Idx, ReadsPlainAndCompressed) {
  for (const std::string& file : {kHead + "abcdef", Compressed(kHead + "abcdef")}) {
    const IdxArray array = ParseIdx(file, "f");
    EXPECT_EQ(array.extents, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(std::string(array.values.begin(), array.values.end()), "abcdef");
  }
  // Much more than its compressed bytes.
  const std::string zeros = Compressed("\0\0\x08\x01\0\x10\0\0"s + std::string(1 << 20, '\0'));
  EXPECT_EQ(ParseIdx(zeros, "f").values.size(), 1u << 20);
}

TEST(Idx, RefusesWhatIsNone) {
  const auto parse = [](const std::string& file) { return [file] { ParseIdx(file, "f"); }; };
  EXPECT_TRUE(Refuses(parse(kHead + "abcde"), "f: is cut short: 1 bytes"));
  EXPECT_TRUE(Refuses(parse(kHead + "abcdefg"), "more bytes"));
  EXPECT_TRUE(Refuses(parse("\0\0\x0D\x01\0\0\0\x01"s + "abcd"), "unsigned bytes"));
  EXPECT_TRUE(Refuses(parse("\0\0\x08\x05"s), "5 extents"));
  EXPECT_TRUE(Refuses(parse("\0\0\x08\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s), "more, or fewer"));
  EXPECT_TRUE(Refuses(parse("\0\0\x08\x01\0\0\0\0"s), "more, or fewer"));
  EXPECT_TRUE(Refuses(parse(""), "cut short"));
  const std::string compressed = Compressed(kHead + "abcdef");
  EXPECT_TRUE(Refuses(parse(compressed.substr(0, compressed.size() - 12)), "cut short"));
  EXPECT_TRUE(Refuses(parse(compressed.substr(0, 10) + std::string(8, '\xFF')), "damaged"));
}

}  // namespace
}  // namespace linnet
