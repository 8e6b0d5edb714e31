// IDX: the format of the MNIST files. Big-endian: two zero bytes, the type of the elements (8: unsigned
// bytes), the number of extents, each extent in 32 bits, then the elements, the last extent's side by side.
// Source: Y. LeCun, http://yann.lecun.com/exdb/mnist/. Files may be compressed by gzip.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace linnet {

/// Unsigned bytes; other types are refused.
struct IdxArray {
  std::vector<int64_t> extents;  // 1 to 4
  std::vector<uint8_t> values;
};

/// Throws Error, naming the file, if it is no IDX file of bytes, is cut short or has bytes left over.
IdxArray ReadIdx(const std::filesystem::path& path);

/// The same from what a file holds; `name` is for messages.
IdxArray ParseIdx(std::string_view file, const std::string& name);

}  // namespace linnet
