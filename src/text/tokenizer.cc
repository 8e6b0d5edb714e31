#include "text/tokenizer.h"

#include "base/check.h"

namespace linnet {

size_t BytesTokenizer::EncodeSome(std::string_view bytes, bool /*more*/, std::vector<int>& ids) const {
  ids.reserve(ids.size() + bytes.size());
  for (char byte : bytes) ids.push_back(static_cast<unsigned char>(byte));
  return bytes.size();
}

std::string BytesTokenizer::Decode(std::span<const int> ids) const {
  std::string bytes;
  bytes.reserve(ids.size());
  for (int id : ids) {
    Check(id >= 0 && id < vocab(), "[bytes] there is no token {}; ids are 0 to 255", id);
    bytes += static_cast<char>(id);
  }
  return bytes;
}

}  // namespace linnet
