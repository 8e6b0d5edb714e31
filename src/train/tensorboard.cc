#include "train/tensorboard.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// The event files that linnet wrote there, in order.
std::vector<fs::path> OwnFiles(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path name = entry.path().filename();
    const bool own =
        name.string().starts_with("events.out.tfevents.") && name.stem().extension() == ".linnet";
    if (own && entry.is_regular_file()) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

TensorBoard::TensorBoard(const fs::path& folder, int64_t next_step) {
  std::error_code error;
  fs::create_directories(folder, error);
  Check(fs::is_directory(folder),
        "{}: the folder for events cannot be created; give another --tensorboard DIR", folder.string());
  const std::vector<fs::path> files = OwnFiles(folder);
  Check(next_step > 0 || files.empty(),
        "{}: holds the events of another run; give another --tensorboard DIR or remove that folder",
        folder.string());
  for (const fs::path& file : files) CutEventFile(file, next_step);
  const double now = Now();
  file_.emplace(folder / fmt::format("events.out.tfevents.{:.0f}.linnet.{:04}", now, files.size()), next_step,
                now);
}

void TensorBoard::Write(const StepRecord& record) {
  StepSummary summary{record.step,
                      Now(),
                      {{"loss/training", record.loss},
                       {"bits_per_byte/training", BitsPerByte(record.loss)},
                       {"learning_rate", record.lr},
                       {"gradient_norm", record.gradient_norm},
                       {"tokens_per_second", record.tokens_per_s}}};
  const auto add = [&](const char* name, const std::optional<double>& loss) {
    if (!loss) return;
    summary.scalars.push_back({fmt::format("loss/{}", name), *loss});
    summary.scalars.push_back({fmt::format("bits_per_byte/{}", name), BitsPerByte(*loss)});
  };
  add("held_out", record.val_loss);
  add("other_data", record.eval_loss);
  // Four blanks before each line make it one of code, which Markdown leaves as it is.
  if (record.sample) {
    std::string code = "    ";
    for (char c : *record.sample) code += c == '\n' ? "\n    " : std::string(1, c);
    summary.texts.push_back({"sample", code});
  }
  file_->Write(summary);
}

}  // namespace linnet
