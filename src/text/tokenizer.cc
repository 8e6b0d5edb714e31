#include "text/tokenizer.h"

#include <utility>

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

LettersTokenizer::LettersTokenizer(std::string name, std::string letters)
    : name_(std::move(name)), letters_(std::move(letters)) {
  for (size_t i = 0; i < letters_.size(); ++i) {
    Check(letters_.find(letters_[i], i + 1) == std::string::npos, "{}: the letter 0x{:02X} is there twice",
          name_, static_cast<unsigned char>(letters_[i]));
  }
}

size_t LettersTokenizer::EncodeSome(std::string_view bytes, bool /*more*/, std::vector<int>& ids) const {
  for (char byte : bytes) {
    const size_t id = letters_.find(byte);
    Check(id != std::string::npos, "{}: has no token for the byte 0x{:02X}; it knows {} letters: {}", name_,
          static_cast<unsigned char>(byte), letters_.size(), letters_);
    ids.push_back(static_cast<int>(id));
  }
  return bytes.size();
}

std::string LettersTokenizer::Decode(std::span<const int> ids) const {
  std::string bytes;
  for (int id : ids) {
    Check(id >= 0 && id < vocab(), "{}: there is no token {}; ids are 0 to {}", name_, id, vocab() - 1);
    bytes += letters_[id];
  }
  return bytes;
}

}  // namespace linnet
