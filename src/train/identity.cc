#include "train/identity.h"

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/file.h"
#include "base/hash.h"

namespace linnet {
namespace {

using nlohmann::json;

constexpr size_t kPieces = 64, kPieceBytes = 4096;

json WithoutFingerprints(json files) {
  for (json& file : files) {
    if (file.is_object()) file.erase("fingerprint");
  }
  return files;
}

bool HasFingerprints(const json& files) {
  return files.is_array() && !files.empty() && files[0].is_object() && files[0].contains("fingerprint");
}

}  // namespace

std::string Fingerprint(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  uint64_t hash = Hash(std::to_string(bytes.size()));
  if (bytes.size() <= kPieces * kPieceBytes) {
    hash = Hash(bytes, hash);
  } else {
    for (size_t i = 0; i < kPieces; ++i) {
      hash = Hash(bytes.substr((bytes.size() - kPieceBytes) / (kPieces - 1) * i, kPieceBytes), hash);
    }
    hash = Hash(bytes.substr(bytes.size() - kPieceBytes), hash);
  }
  return fmt::format("{:016x}", hash);
}

std::string DataIdentity(const Dataset& data) {
  json files = json::array();
  for (const Dataset::File& file : data.files()) {
    files.push_back({{"name", file.path.filename().string()},
                     {"bytes", file.bytes},
                     {"fingerprint", Fingerprint(file.path)}});
  }
  return files.dump();
}

void CheckSameData(const std::string& now, const std::string& saved, const std::string& where) {
  const json ours = json::parse(now), theirs = json::parse(saved, nullptr, false);
  const bool same_names = WithoutFingerprints(ours) == WithoutFingerprints(theirs);
  Check(same_names,
        "--data is {} but the run to resume learnt from {} ({}); give the same files, or start another run "
        "with a new --out",
        now, saved, where);
  Check(!HasFingerprints(theirs) || ours == theirs,
        "--data is {}, of the names and lengths of the files that the run to resume learnt from, but their "
        "content has changed since: {} ({}); give the same files, or start another run with a new --out",
        now, saved, where);
}

}  // namespace linnet
