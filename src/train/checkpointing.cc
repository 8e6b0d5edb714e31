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
                           kTrainerSuffix = ".trainer.safetensors";
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

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
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
  return {step, path_ / (stem + std::string(kSuffix)), path_ / (stem + std::string(kTrainerSuffix))};
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
  for (const fs::directory_entry& entry : fs::directory_iterator(path_)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    const bool half_a_file = name.find(".partial.") != std::string::npos;
    // A trainer file whose weights were never written.
    const bool half_a_checkpoint =
        name.ends_with(kTrainerSuffix) &&
        !fs::exists(path_ / (name.substr(0, name.size() - kTrainerSuffix.size()) + std::string(kSuffix)));
    if (half_a_file || half_a_checkpoint) torn.push_back(entry.path());
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

CheckpointFiles RunFolder::Save(int64_t step, const std::vector<NamedTensor>& weights,
                                const Strings& weights_metadata, const std::vector<NamedTensor>& trainer,
                                const Strings& trainer_metadata) {
  const CheckpointFiles files = FilesOf(step);
  WriteSafetensors(files.trainer, trainer, trainer_metadata);
  WriteSafetensors(files.weights, weights, weights_metadata);

  const fs::path link = path_ / "checkpoint-newest.partial.link";
  fs::remove(link);
  fs::create_symlink(files.weights.filename(), link);
  fs::rename(link, model());

  std::vector<CheckpointFiles> all = Checkpoints();
  for (size_t i = 0; i + kKept < all.size(); ++i) {
    // The weights first: without them the rest is no checkpoint.
    fs::remove(all[i].weights);
    fs::remove(all[i].trainer);
  }
  return files;
}

}  // namespace linnet
