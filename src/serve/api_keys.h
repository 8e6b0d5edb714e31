// API keys: who may use the server, and whose states are whose. Only hashes of keys are kept.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/sha256.h"

namespace linnet {

class ApiKeys {
 public:
  /// None: everybody may.
  ApiKeys() = default;
  /// A file of keys, one a line; empty lines and those that begin with '#' do not count. Throws Error, naming
  /// the file and the line but never a key, if there is none or one is shorter than 8 characters or has
  /// others than printable ones.
  static ApiKeys Read(const std::filesystem::path& path);

  bool empty() const { return digests_.empty(); }
  void Add(std::string_view key) { digests_.push_back(Sha256(key)); }

  /// The client (HttpRequest) of an Authorization header, "Bearer KEY"; "" if no keys are needed; nothing if
  /// it has none of the keys. Takes as long for a key that is almost right as for any other.
  std::optional<std::string> ClientOf(std::string_view authorization) const;

 private:
  std::vector<Sha256Digest> digests_;
};

}  // namespace linnet
