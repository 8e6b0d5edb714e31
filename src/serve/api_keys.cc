#include "serve/api_keys.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "base/check.h"
#include "base/file.h"

namespace linnet {
namespace {

constexpr size_t kShortest = 8;

bool StartsWithBearer(std::string_view text) {
  constexpr std::string_view kBearer = "bearer ";
  return text.size() >= kBearer.size() &&
         std::equal(kBearer.begin(), kBearer.end(), text.begin(),
                    [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

}  // namespace

ApiKeys ApiKeys::Read(const std::filesystem::path& path) {
  ApiKeys keys;
  std::istringstream lines(ReadFile(path));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string_view key = Trimmed(line);
    if (key.empty() || key.starts_with('#')) continue;
    Check(key.size() >= kShortest, "{}: the key in line {} has {} characters; make it at least {}",
          path.string(), number, key.size(), kShortest);
    const bool printable = std::ranges::all_of(key, [](char c) { return c > ' ' && c <= '~'; });
    Check(printable, "{}: the key in line {} must have printable ASCII characters only, without blanks",
          path.string(), number);
    keys.Add(key);
  }
  Check(!keys.empty(), "{}: has no API key; write one a line", path.string());
  return keys;
}

std::optional<std::string> ApiKeys::ClientOf(std::string_view authorization) const {
  if (empty()) return "";
  if (!StartsWithBearer(authorization)) return std::nullopt;
  const std::string_view key = Trimmed(authorization.substr(sizeof("bearer")));
  const Sha256Digest digest = Sha256(key);
  bool known = false;
  for (const Sha256Digest& other : digests_) {
    uint8_t difference = 0;
    for (size_t i = 0; i < digest.size(); ++i) difference |= digest[i] ^ other[i];
    known |= difference == 0;
  }
  if (!known) return std::nullopt;
  return Sha256Hex("linnet client " + std::string(key), 32);
}

}  // namespace linnet
