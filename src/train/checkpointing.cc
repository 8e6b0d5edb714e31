#include "train/checkpointing.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>
#include <optional>

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "checkpoint-", kSuffix = ".safetensors",
                           kTrainerSuffix = ".trainer.safetensors", kAverageSuffix = ".ema.safetensors";
constexpr const char* kLock = "train.lock";
constexpr size_t kKept = 2;

/// The step in checkpoint-STEP.safetensors.
std::optional<int64_t> StepOf(const std::string& name) {
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  const char *begin = name.data() + kPrefix.size(), *end = name.data() + name.size() - kSuffix.size();
  int64_t step = 0;
  const auto [stop, error] = std::from_chars(begin, end, step);
  if (error != std::errc() || stop != end || step < 0) return std::nullopt;
  return step;
}

}  // namespace

RunFolder::RunFolder(fs::path path, Access access) : path_(std::move(path)) {
  if (access == Access::kRead) {
    Check(fs::is_directory(path_),
          "{}: is not there for this process; all need the same --out, on a disk that they share",
          path_.string());
    return;
  }
  std::error_code error;
  created_ = fs::create_directories(path_, error);
  Check(fs::is_directory(path_), "{}: the folder for checkpoints cannot be made: {}; give another --out",
        path_.string(), error ? error.message() : "there is a file of that name");
  const fs::path lock = path_ / kLock;
  lock_ = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  Check(lock_ >= 0, "{}: the folder for checkpoints cannot be written to: {}; give another --out",
        path_.string(), std::strerror(errno));
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    Fail("{}: another run is training here (it holds {}); wait for it to end or give another --out",
         path_.string(), lock.string());
  }
  Sweep();
}

RunFolder::~RunFolder() {
  if (lock_ < 0) return;
  // A run that was refused leaves no folder behind.
  std::error_code error;
  if (created_ && std::distance(fs::directory_iterator(path_, error), {}) == 1) {
    fs::remove(path_ / kLock, error);
    fs::remove(path_, error);
  }
  close(lock_);
}

CheckpointFiles RunFolder::FilesOf(int64_t step) const {
  const std::string stem = std::string(kPrefix) + std::to_string(step);
  return {step, path_ / (stem + std::string(kSuffix)), path_ / (stem + std::string(kTrainerSuffix)),
          path_ / (stem + std::string(kAverageSuffix))};
}

std::vector<CheckpointFiles> RunFolder::Checkpoints() const {
  std::vector<CheckpointFiles> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    const auto step = StepOf(entry.path().filename());
    if (step && fs::exists(FilesOf(*step).trainer)) found.push_back(FilesOf(*step));
  }
  std::ranges::sort(found, {}, &CheckpointFiles::step);
  return found;
}

void RunFolder::Sweep() const {
  std::vector<fs::path> torn;
  std::error_code no_link;
  const fs::path best_file = fs::read_symlink(best(), no_link);
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    const bool half_a_file = name.find(".partial.") != std::string::npos;
    // A file whose weights were never written, or already removed.
    const auto alone = [&](std::string_view suffix) {
      return name.ends_with(suffix) && name != best_file &&
             !fs::exists(path_ / (name.substr(0, name.size() - suffix.size()) + std::string(kSuffix)));
    };
    if (half_a_file || alone(kTrainerSuffix) || alone(kAverageSuffix)) torn.push_back(entry.path());
  }
  for (const fs::path& file : torn) fs::remove(file);
}

void RunFolder::CheckSpace(uint64_t bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(path_, error);
  if (error) return;  // a file system that does not tell may still have room
  Check(space.available >= bytes,
        "{}: the disk has {} MB left, the checkpoints need {} MB; make room or give an --out on another disk",
        path_.string(), space.available >> 20, (bytes >> 20) + 1);
}

void RunFolder::Link(const char* name, const fs::path& file) const {
  const fs::path link = path_ / "checkpoint-newest.partial.link";
  fs::remove(link);
  fs::create_symlink(file.filename(), link);
  fs::rename(link, path_ / name);
}

void RunFolder::Remove(const CheckpointFiles& files) const {
  std::error_code no_link;
  const fs::path best_file = path_ / fs::read_symlink(best(), no_link);
  // The weights first: without them the rest is no checkpoint. If they are the best there are, without the
  // trainer's part they are none either.
  for (const fs::path& file : {files.weights, files.trainer, files.average}) {
    if (no_link || file != best_file) fs::remove(file);
  }
}

CheckpointFiles RunFolder::Save(const CheckpointParts& parts) {
  const CheckpointFiles files = FilesOf(parts.step);
  const bool averaged = !parts.average.empty();
  WriteSafetensors(files.trainer, parts.trainer);
  if (averaged) WriteSafetensors(files.average, parts.average, parts.weights.metadata);
  WriteSafetensors(files.weights, parts.weights);

  PointAt(files, parts.best);
  const std::vector<CheckpointFiles> all = Checkpoints();
  for (size_t i = 0; i + kKept < all.size(); ++i) Remove(all[i]);
  return files;
}

void RunFolder::PointAt(const CheckpointFiles& files, bool is_best) {
  const bool averaged = fs::exists(files.average);
  Link("model.safetensors", files.weights);
  if (averaged) Link("model-ema.safetensors", files.average);
  if (!is_best) return;
  std::error_code no_link;
  const fs::path before = path_ / fs::read_symlink(best(), no_link);
  Link("model-best.safetensors", averaged ? files.average : files.weights);
  // What was the best is of no more use, unless it belongs to a whole checkpoint.
  const bool whole = std::ranges::any_of(
      Checkpoints(), [&](const CheckpointFiles& c) { return c.weights == before || c.average == before; });
  if (!no_link && !whole) fs::remove(before);
}

void RunFolder::ReturnTo(const CheckpointFiles& files) {
  for (const CheckpointFiles& other : Checkpoints()) {
    if (other.step > files.step) Remove(other);
  }
  PointAt(files, false);
}

}  // namespace linnet
