#include "formats/names.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace linnet {
namespace {

constexpr int kMaxWrappers = 4;
constexpr size_t kMaxDigits = 5;  // of a layer's number
constexpr const char* kHeadSize = "rwkv7.wkv.head_size";
constexpr const char* kRescaleEvery = "rwkv6.rescale_every_n_layers";

/// What the wildcards of a pattern stand for.
struct Captures {
  int64_t layer = 0;
  std::string_view rest;
};

/// The layer whose number begins at `at`, which then is behind it; `first` is the number of the first layer.
std::optional<int64_t> LayerAt(std::string_view name, size_t& at, int64_t first) {
  const size_t begin = std::min(at, name.size());
  const size_t end = std::min(name.find_first_not_of("0123456789", begin), name.size());
  const std::string_view digits = name.substr(begin, end - begin);
  if (digits.empty() || digits.size() > kMaxDigits || (digits.size() > 1 && digits[0] == '0')) return {};
  int64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  at = end;
  return number < first ? std::nullopt : std::optional(number - first);
}

std::optional<Captures> Match(std::string_view pattern, std::string_view name) {
  Captures captures;
  size_t at = 0;
  for (char c : pattern) {
    if (c == '*') {
      captures.rest = name.substr(at);
      return captures.rest.empty() ? std::nullopt : std::optional(captures);
    }
    if (c == '#' || c == '%') {
      const auto layer = LayerAt(name, at, c == '%' ? 1 : 0);
      if (!layer) return std::nullopt;
      captures.layer = *layer;
    } else if (at >= name.size() || name[at++] != c) {
      return std::nullopt;
    }
  }
  return at == name.size() ? std::optional(captures) : std::nullopt;
}

std::string Filled(std::string_view pattern, const Captures& captures) {
  std::string name;
  for (char c : pattern) {
    if (c == '#' || c == '%') {
      name += std::to_string(captures.layer + (c == '%' ? 1 : 0));
    } else if (c == '*') {
      name += captures.rest;
    } else {
      name += c;
    }
  }
  return name;
}

/// The whole number in the metadata; `otherwise` if it is not there.
int64_t MetadataNumber(const Checkpoint& file, const std::string& key, int64_t otherwise) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return otherwise;
  int64_t number = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  Check(error == std::errc() && end == text.data() + text.size() && number >= 0 && number <= INT32_MAX,
        "{}: {} is '{}'; a whole number was expected", file.path().string(), key, text.substr(0, 40));
  return number;
}

/// Completes a rule with what the file's metadata say.
RelayoutStep StepOf(const NameRule& rule, const Captures& captures, const Checkpoint& file) {
  RelayoutStep step{rule.how, rule.index, rule.count};
  if (rule.how == Relayout::kHeads) {
    step.count = MetadataNumber(file, kHeadSize, 0);
    Check(step.count > 0, "{}: does not say how wide a head is: it has no {}", file.path().string(),
          kHeadSize);
  }
  if (rule.how == Relayout::kTimesPowerOfTwo) {
    // The converter divides by 2^(layer / every), and llama.cpp halves the sum of the layers every so many.
    constexpr int64_t kMaxExponent = 64;
    const int64_t every = MetadataNumber(file, kRescaleEvery, 0);
    step.index = every > 0 ? std::min(captures.layer / every, kMaxExponent) : 0;
  }
  return step;
}

class TranslatedCheckpoint final : public Checkpoint {
 public:
  TranslatedCheckpoint(std::unique_ptr<Checkpoint> file, const Dialect& dialect)
      : Checkpoint(file->path(), file->file_bytes()), file_(std::move(file)), dialect_(dialect) {
    metadata_ = file_->metadata();
    vocabulary_ = file_->vocabulary();
    for (const Entry& entry : file_->entries()) Translate(entry);
    metadata_.erase(kRescaleEvery);  // these tensors are not
    const Entry* embedding = Find("emb.weight");
    if (vocabulary_.empty() && embedding != nullptr && !dialect.letters.empty() &&
        embedding->shape[0] == static_cast<Dim>(dialect.letters.size())) {
      for (char letter : dialect.letters) vocabulary_.emplace_back(1, letter);
    }
  }

  std::string format() const override { return file_->format(); }

  Tensor Load(const std::string& name) const override {
    const size_t i = IndexOf(name);
    const Tensor stored = file_->Load(sources_[i].name);
    const Tensor tensor = TensorAfter(sources_[i].step, stored, entries_[i]);
    const bool is_copy = tensor.raw() != stored.raw() && sources_[i].step.how != Relayout::kPart;
    if (is_copy) file_->Forget(sources_[i].name);
    return tensor;
  }

  void Forget(const std::string& name) const override { file_->Forget(sources_[IndexOf(name)].name); }

  std::string NameInFile(const std::string& name) const override {
    if (Find(name) != nullptr) return file_->NameInFile(sources_[IndexOf(name)].name);
    const auto stored = StoredNameOf(dialect_, name);
    return file_->NameInFile(stored ? stored->name : name);
  }

 private:
  struct Source {
    std::string name;  // in file_
    RelayoutStep step;
  };

  void Translate(const Entry& entry) {
    const auto rule = std::ranges::find_if(dialect_.rules, [&](const NameRule& candidate) {
      return Match(candidate.pattern, entry.name).has_value();
    });
    if (rule == dialect_.rules.end()) {
      Check(dialect_.keeps_others, "{}: the tensor {} is none of {}", path_.string(),
            file_->NameInFile(entry.name), dialect_.title);
      return AddTranslated(entry, entry.name, {});
    }
    const Captures captures = *Match(rule->pattern, entry.name);
    for (auto part = rule; part != dialect_.rules.end() && part->pattern == rule->pattern; ++part) {
      if (part->published.empty()) continue;
      AddTranslated(entry, Filled(part->published, captures), StepOf(*part, captures, *file_));
    }
  }

  void AddTranslated(const Entry& entry, const std::string& published, const RelayoutStep& step) {
    const std::string in_file = file_->NameInFile(entry.name);
    Check(Find(published) == nullptr, "{}: {} and {} both stand for {}", path_.string(),
          NameInFile(published), in_file, published);
    Entry after = EntryAfter(step, entry, fmt::format("{}: the tensor {}", path_.string(), in_file));
    after.name = published;
    sources_.push_back({entry.name, step});
    Add(std::move(after));
  }

  std::unique_ptr<Checkpoint> file_;
  const Dialect& dialect_;
  std::vector<Source> sources_;  // beside entries_
};

/// GGUF names its architecture; linnet reads two of llama.cpp's.
void CheckGgufArchitecture(const Checkpoint& file) {
  const auto found = file.metadata().find("general.architecture");
  const std::string name = found == file.metadata().end() ? "" : found->second;
  const bool is_hybrid = name == "rwkv6qwen2" || name == "arwkv7";
  Check(!is_hybrid,
        "{}: is of the architecture {}, RWKV's time mixing in the layers of a Qwen2, which linnet does "
        "not run",
        file.path().string(), name);
  Check(name == "rwkv6" || name == "rwkv7",
        "{}: is of the architecture '{}'; linnet reads rwkv6 and rwkv7 from GGUF", file.path().string(),
        name.substr(0, 40));
}

}  // namespace

std::optional<StoredName> StoredNameOf(const Dialect& dialect, const std::string& name) {
  for (const NameRule& rule : dialect.rules) {
    const auto captures = Match(rule.published, name);
    if (captures && !rule.published.empty()) return StoredName{Filled(rule.pattern, *captures), &rule};
  }
  return std::nullopt;
}

std::unique_ptr<Checkpoint> WithPublishedNames(std::unique_ptr<Checkpoint> file) {
  for (int i = 0; i < kMaxWrappers && WrappersDialect().is_spoken(*file); ++i) {
    file = std::make_unique<TranslatedCheckpoint>(std::move(file), WrappersDialect());
  }
  if (file->format() == "gguf") CheckGgufArchitecture(*file);
  for (const Dialect& dialect : Dialects()) {
    if (dialect.is_spoken(*file)) return std::make_unique<TranslatedCheckpoint>(std::move(file), dialect);
  }
  return file;
}

}  // namespace linnet
