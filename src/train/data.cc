#include "train/data.h"

#include <algorithm>

#include "formats/binidx.h"
#include "train/text_files.h"
#include "train/token_files.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

/// Whether a name is one of a binidx, not of a file to be read as it is.
bool IsBinidx(const std::string& name) {
  const fs::path path(name);
  if (path.extension() == ".idx") return true;
  return fs::exists(BinidxPaths(path).index) && (path.extension() == ".bin" || !fs::exists(path));
}

}  // namespace

int64_t CountTargets(const Samples& samples) {
  return std::ranges::count_if(samples.targets, [](int target) { return target >= 0; });
}

Samples Share(const Samples& samples, int part, int parts) {
  const Batch& whole = samples.batch;
  Samples share;
  share.batch.recompute = whole.recompute;
  for (int s = 0; s < whole.sequences(); ++s) {
    const int64_t begin = whole.start[s], end = whole.start[s + 1];
    if ((begin + end) / 2 * parts / whole.start.back() != part) continue;
    share.batch.Append({whole.tokens.begin() + begin, whole.tokens.begin() + end}, share.batch.sequences());
    share.targets.insert(share.targets.end(), samples.targets.begin() + begin, samples.targets.begin() + end);
  }
  return share;
}

std::unique_ptr<Dataset> OpenDataset(const std::vector<std::string>& names, const DataOptions& options) {
  Check(!names.empty(), "there is nothing to learn from; give --data FILE...");
  const auto prepared = std::ranges::find_if(names, IsBinidx);
  if (prepared != names.end()) {
    Check(names.size() == 1,
          "{}: is a binidx, of which --data takes one; join several with `linnet data merge`", *prepared);
    return OpenTokenFiles(*prepared, options);
  }
  Check(options.pack.empty(),
        "{}: is read as text, at random places; --pack {} is for what `linnet data prepare` "
        "writes",
        names.front(), options.pack);
  Check(options.tokenizer == "bytes",
        "{}: is read as text, whose tokens are bytes; for --tokenizer {} prepare it first: linnet data "
        "prepare {} "
        "-o NAME --tokenizer {}",
        names.front(), options.tokenizer, names.front(), options.tokenizer);
  return std::make_unique<TextFiles>(names, options);
}

std::vector<Samples> EvaluationSamples(const std::vector<std::string>& names, DataOptions options,
                                       int64_t max_tokens) {
  if (names.empty()) return {};
  options.val_fraction = 1;
  options.pack.clear();
  return OpenDataset(names, options)->HeldOut(max_tokens);
}

}  // namespace linnet
