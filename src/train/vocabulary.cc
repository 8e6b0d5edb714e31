#include "train/vocabulary.h"

#include <memory>

#include "base/check.h"
#include "base/file.h"
#include "formats/checkpoint.h"
#include "text/tokenizer_of.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

Vocabulary Named(const std::string& name_or_file, const fs::path& folder) {
  const fs::path own = folder / fs::path(name_or_file).filename();
  const bool kept = name_or_file != "bytes" && fs::is_regular_file(own);
  const fs::path file = kept ? own : FindTokenizer(name_or_file);
  const auto tokenizer = MakeTokenizer(file.empty() ? name_or_file : file.string());
  return {tokenizer->name(), tokenizer->vocab(), file};
}

Vocabulary OfModel(const fs::path& path) {
  const auto model = Checkpoint::Open(path);
  const Checkpoint::Entry* embedding = model->Find("emb.weight");
  const auto named = model->metadata().find("tokenizer");
  const auto tokenizer = TokenizerOf({.model = path.string(),
                                      .vocab = embedding == nullptr ? 0 : embedding->shape[0],
                                      .named = named == model->metadata().end() ? "" : named->second,
                                      .tokens = model->vocabulary()});
  Vocabulary vocabulary{tokenizer->name(), tokenizer->vocab(), {}};
  for (const fs::path& folder : TokenizerFolders(path.string())) {
    const fs::path file = folder / vocabulary.name;
    if (vocabulary.file.empty() && fs::is_regular_file(file)) vocabulary.file = file;
  }
  return vocabulary;
}

}  // namespace

void Vocabulary::KeepIn(const fs::path& folder) const {
  if (!file.empty() && !fs::exists(folder / name)) WriteFile(folder / name, ReadFile(file));
}

Vocabulary CompleteVocabulary(TrainOptions& options, const fs::path& folder) {
  const bool models_own = !options.init.empty() && !options.given.contains("--tokenizer");
  const Vocabulary vocabulary = models_own ? OfModel(options.init) : Named(options.tokenizer, folder);
  Check(options.vocab == 0 || options.vocab >= vocabulary.ids,
        "--vocab {} is too small for --tokenizer {}, which has {} tokens; leave it out", options.vocab,
        vocabulary.name, vocabulary.ids);
  options.tokenizer = vocabulary.name;
  // Rounded up to what kernels like: World's 65,530 ids make RWKV's usual 65,536.
  if (options.init.empty() && options.vocab == 0) options.vocab = (vocabulary.ids + 63) / 64 * 64;
  return vocabulary;
}

DataOptions DataOptionsOf(const TrainOptions& options, const Vocabulary& vocabulary) {
  return {.ctx = options.ctx,
          .batch = options.batch,
          .accumulate = options.accumulate,
          .seed = static_cast<uint64_t>(options.seed),
          .val_fraction = options.val_fraction,
          .pack = options.pack,
          .tokenizer = vocabulary.name,
          .ids = vocabulary.ids};
}

}  // namespace linnet
