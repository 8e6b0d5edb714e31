#include "serve/state_folder.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/hash.h"
#include "base/sha256.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".state", kPartial = ".partial.";

uint64_t HashOf(const Tensor& tensor, uint64_t before) {
  return Hash({static_cast<const char*>(tensor.raw()), tensor.bytes()}, before);
}

/// Of all that is in a place; `name` goes in, lest a file be taken for another.
std::string Checksum(const std::string& name, const Snapshot& place) {
  uint64_t hash = Hash(name + fmt::format(" {}", place.tokens));
  for (const Tensor& variable : place.variables) hash = HashOf(variable, hash);
  if (place.logits) hash = HashOf(place.logits, hash);
  return fmt::format("{:016x}", hash);
}

std::string NameOf(const std::string& key) { return Sha256Hex(key, 40) + std::string(kEnding); }

/// Whether it is a temporary file of a process that is no more.
bool IsLeftOver(const std::string& name) {
  const size_t at = name.find(kPartial);
  if (at == std::string::npos) return false;
  const long process = std::strtol(name.c_str() + at + kPartial.size(), nullptr, 10);
  return process <= 0 || (kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH);
}

void Remove(const fs::path& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

}  // namespace

uint64_t SampleHash(const Tensor& tensor, uint64_t before) {
  constexpr size_t kSamples = 16, kBytes = 16;
  const size_t bytes = tensor.bytes();
  const auto* data = static_cast<const char*>(tensor.raw());
  if (bytes <= kSamples * kBytes) return HashOf(tensor, before);
  for (size_t i = 0; i < kSamples; ++i)
    before = Hash({data + (bytes - kBytes) / (kSamples - 1) * i, kBytes}, before);
  return before;
}

std::string ModelKey(const LoadedModel& model) {
  uint64_t hash = Hash(Fingerprint(model));
  for (const Parameter& p : model.params->parameters())
    hash = SampleHash(p.tensor, Hash(Traits(p.tensor.dtype()).name, hash));
  return fmt::format("{:016x}", hash);
}

StateFolder::StateFolder(const fs::path& folder, const LoadedModel& model, std::string tokenizer,
                         int64_t limit)
    : model_(model), tokenizer_(std::move(tokenizer)), path_(folder / ModelKey(model)), limit_(limit) {
  std::error_code error;
  fs::create_directories(path_, error);
  Check(!error, "{}: cannot be made: {}; give another --cache-dir", path_.string(), error.message());
  Scan();
}

void StateFolder::Scan() {
  struct Found {
    fs::file_time_type used;
    std::string name;
    int64_t bytes;
  };
  std::vector<Found> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    const std::string name = entry.path().filename().string();
    if (IsLeftOver(name)) Remove(entry.path());
    if (!name.ends_with(kEnding)) continue;
    const auto used = entry.last_write_time(error);
    const auto bytes = entry.file_size(error);
    if (!error) found.push_back({used, name, static_cast<int64_t>(bytes)});
  }
  std::ranges::sort(found, {}, &Found::used);
  for (const Found& file : found) Add(file.name, file.bytes);
}

bool StateFolder::Has(const std::string& key) const {
  std::lock_guard lock(mutex_);
  return found_.contains(NameOf(key));
}

std::optional<Snapshot> StateFolder::Read(const std::string& key) {
  if (!Has(key)) return std::nullopt;
  const std::string name = NameOf(key);
  try {
    ReadSnapshotResult read = ReadSnapshot(path_ / name, model_, tokenizer_);
    // The tensors lie in the mapped file, which somebody may cut short.
    for (Tensor& variable : read.snapshot.variables) variable = variable.Clone();
    if (read.snapshot.logits) read.snapshot.logits = read.snapshot.logits.Clone();
    const std::string sum = ReadStateFile(path_ / name).notes["checksum"];
    Check(read.warning.empty() && sum == Checksum(name, read.snapshot), "{}: is damaged", name);
    Touch(name);
    return std::move(read.snapshot);
  } catch (const std::exception&) {
    Forget(name);
    return std::nullopt;
  }
}

void StateFolder::Write(const std::string& key, const Snapshot& place) {
  const std::string name = NameOf(key);
  WriteSnapshot(path_ / name, model_, tokenizer_, place, {{"checksum", Checksum(name, place)}});
  Add(name, static_cast<int64_t>(fs::file_size(path_ / name)));
}

void StateFolder::Touch(const std::string& name) {
  std::error_code ignored;
  fs::last_write_time(path_ / name, fs::file_time_type::clock::now(), ignored);
  std::lock_guard lock(mutex_);
  if (const auto found = found_.find(name); found != found_.end())
    files_.splice(files_.begin(), files_, found->second);
}

void StateFolder::Add(const std::string& name, int64_t bytes) {
  std::vector<std::string> too_many;
  {
    std::lock_guard lock(mutex_);
    if (const auto old = found_.find(name); old != found_.end()) {
      bytes_ -= old->second->bytes;
      files_.erase(old->second);
    }
    files_.push_front({name, bytes});
    found_[name] = files_.begin();
    bytes_ += bytes;
    int64_t left = bytes_;
    for (auto file = files_.rbegin(); left > limit_ && file != files_.rend(); ++file) {
      left -= file->bytes;
      too_many.push_back(file->name);
    }
  }
  for (const std::string& old : too_many) Forget(old);
}

void StateFolder::Forget(const std::string& name) {
  Remove(path_ / name);
  std::lock_guard lock(mutex_);
  const auto found = found_.find(name);
  if (found == found_.end()) return;
  bytes_ -= found->second->bytes;
  files_.erase(found->second);
  found_.erase(found);
}

int64_t StateFolder::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace linnet
