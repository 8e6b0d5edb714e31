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

/// The part that a sequence goes to, by its middle.
int64_t PartOf(const Batch& whole, int sequence, int parts) {
  const int64_t middle = (whole.start[sequence] + whole.start[sequence + 1]) / 2;
  return middle * parts / whole.start.back();
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
    if (PartOf(whole, s, parts) != part) continue;
    const int64_t begin = whole.start[s], end = whole.start[s + 1];
    share.batch.Append({whole.tokens.begin() + begin, whole.tokens.begin() + end}, share.batch.sequences());
    share.targets.insert(share.targets.end(), samples.targets.begin() + begin, samples.targets.begin() + end);
  }
  return share;
}

int64_t ShareBegins(const Samples& samples, int part, int parts) {
  const Batch& whole = samples.batch;
  int first = 0;
  while (first < whole.sequences() && PartOf(whole, first, parts) < part) ++first;
  return whole.start[first];
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
