#include "formats/idx.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "base/file.h"

namespace linnet {
namespace {

constexpr size_t kMostOfDeflate = 1032;  // bytes that one byte of a compressed file can become

/// The bytes of a file one after the other, be it compressed or not.
class Bytes {
 public:
  Bytes(std::string_view file, const std::string& name) : name_(name), rest_(file) {
    compressed_ = file.size() > 2 && file[0] == '\x1f' && file[1] == '\x8b';
    if (!compressed_) return;
    Check(inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK, "{}: zlib could not be started", name);
    begun_ = true;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.data()));
    stream_.avail_in = static_cast<uInt>(std::min<size_t>(file.size(), std::numeric_limits<uInt>::max()));
  }
  ~Bytes() {
    if (begun_) inflateEnd(&stream_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  void Take(uint8_t* to, size_t count) {
    const size_t got = Get(to, count);
    Check(got == count, "{}: is cut short: {} bytes are missing", name_, count - got);
  }
  bool AtEnd() {
    uint8_t byte;
    return Get(&byte, 1) == 0;
  }

 private:
  /// As many of `count` bytes as there are.
  size_t Get(uint8_t* to, size_t count) {
    if (!compressed_) {
      count = std::min(count, rest_.size());
      std::copy_n(rest_.begin(), count, to);
      rest_.remove_prefix(count);
      return count;
    }
    stream_.next_out = to;
    stream_.avail_out = static_cast<uInt>(count);
    while (stream_.avail_out > 0) {
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END || result == Z_BUF_ERROR) break;
      Check(result == Z_OK, "{}: its compressed bytes are damaged", name_);
    }
    return count - stream_.avail_out;
  }

  const std::string& name_;
  std::string_view rest_;
  bool compressed_ = false, begun_ = false;
  z_stream stream_{};
};

}  // namespace

IdxArray ParseIdx(std::string_view file, const std::string& name) {
  Bytes bytes(file, name);
  uint8_t head[4];
  bytes.Take(head, sizeof head);
  Check(head[0] == 0 && head[1] == 0 && head[2] == 8, "{}: is no IDX file of unsigned bytes", name);
  Check(head[3] >= 1 && head[3] <= 4, "{}: has {} extents; 1 to 4 can be read", name, head[3]);
  // More elements than the file's bytes can hold are not made room for.
  const uint64_t most = std::min<uint64_t>(file.size() * kMostOfDeflate, std::numeric_limits<uInt>::max());
  IdxArray array;
  uint64_t count = 1;
  for (int i = 0; i < head[3]; ++i) {
    uint8_t e[4];
    bytes.Take(e, sizeof e);
    array.extents.push_back(int64_t{e[0]} << 24 | e[1] << 16 | e[2] << 8 | e[3]);
    count *= static_cast<uint64_t>(array.extents.back());
    Check(count > 0 && count <= most, "{}: its extents tell of more, or fewer, elements than it can hold",
          name);
  }
  array.values.resize(count);
  bytes.Take(array.values.data(), count);
  Check(bytes.AtEnd(), "{}: has more bytes than its extents tell of", name);
  return array;
}

IdxArray ReadIdx(const std::filesystem::path& path) { return ParseIdx(ReadFile(path), path.string()); }

}  // namespace linnet
