#include "nn/state_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/hash.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "kernels/backend.h"

namespace linnet {
namespace {

constexpr const char* kVersionKey = "linnet_state";
constexpr const char* kVersion = "1";
constexpr const char* kLogits = "logits";
constexpr std::string_view kTuned = ".att.time_state", kWkv = ".att.wkv";

std::string SizesText(const Sizes& sizes) {
  std::string text;
  for (const auto& [name, size] : sizes) {
    text += fmt::format("{}\"{}\":{}", text.empty() ? "" : ",", name, size);
  }
  return "{" + text + "}";
}

Tensor AsFloat32(const Checkpoint& checkpoint, const Checkpoint::Entry& entry) {
  const Tensor stored = checkpoint.Load(entry.name);
  const DType type = entry.dtype;
  Check(type == DType::kF32 || type == DType::kBf16 || type == DType::kF16 || type == DType::kF64,
        "{}: {} holds {}, floating-point numbers were expected", checkpoint.path().string(), entry.name,
        Traits(type).name);
  if (type == DType::kF32) return stored;
  const Tensor values = Tensor::Empty(entry.shape);
  Backend::For(values.device()).Convert(stored, values);
  return values;
}

int64_t ParseTokens(const std::string& text, const std::string& file) {
  int64_t tokens = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), tokens);
  Check(error == std::errc() && end == text.data() + text.size() && tokens >= 0,
        "{}: its metadata say that it has seen '{}' tokens", file, text.substr(0, 40));
  return tokens;
}

/// As the programs have it that the name asks for: RWKV-LM and RWKV-PEFT read a .pth.
void WriteTuned(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors) {
  if (path.extension() != ".pth") return WriteSafetensors(path, tensors, {});
  Contents contents;
  for (const auto& [name, tensor] : tensors)
    contents.entries.push_back({name, tensor.shape(), tensor.dtype()});
  contents.load = [&](size_t i) { return tensors[i].tensor; };
  WritePth(path, contents);
}

const Tensor* FindVariable(const StateFile& file, const std::string& name) {
  const auto found = file.variables.find(name);
  return found == file.variables.end() ? nullptr : &found->second;
}

/// The wkv states are those of the file, all else is at the start of a sequence.
Snapshot FromTuned(const StateFile& file, const std::string& path, const LoadedModel& model) {
  Snapshot snapshot{model.NewState(1).Save(0), {}, 0};
  const auto& specs = model.params->states();
  size_t used = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!specs[i].name.ends_with(kWkv)) continue;
    const std::string name =
        specs[i].name.substr(0, specs[i].name.size() - kWkv.size()) + std::string(kTuned);
    const Tensor* tensor = FindVariable(file, name);
    Check(tensor != nullptr, "{}: {} is missing: the model has more layers than this tuned state", path,
          name);
    Check(tensor->shape() == specs[i].shape, "{}: {} is {}, this model needs {}", path, name, tensor->shape(),
          specs[i].shape);
    snapshot.variables[i] =
        model.architecture->state_is_key_value ? TransposedHeads(*tensor) : tensor->Clone();
    ++used;
  }
  Check(used == file.variables.size(), "{}: holds states of {} layers, this model ({}) takes {}", path,
        file.variables.size(), model.architecture->name, used);
  return snapshot;
}

Snapshot FromState(const StateFile& file, const std::string& path, const LoadedModel& model) {
  const std::string sizes = SizesText(model.sizes);
  Check(file.architecture == model.architecture->name,
        "{}: is a state of an {} model, this one is {}; use the model that it was made with", path,
        file.architecture, model.architecture->name);
  Check(file.sizes == sizes,
        "{}: is a state of a model of other sizes: {} but this one has {}; use the model that it was made "
        "with",
        path, file.sizes, sizes);
  Snapshot snapshot{{}, file.logits, file.tokens};
  for (const StateSpec& spec : model.params->states()) {
    const Tensor* tensor = FindVariable(file, spec.name);
    Check(tensor != nullptr, "{}: the variable {} is missing", path, spec.name);
    Check(tensor->shape() == spec.shape, "{}: {} is {}, this model's is {}", path, spec.name, tensor->shape(),
          spec.shape);
    snapshot.variables.push_back(*tensor);
  }
  Check(snapshot.variables.size() == file.variables.size(), "{}: holds {} variables, this model has {}", path,
        file.variables.size(), snapshot.variables.size());
  Check(!file.logits || file.logits.size() == model.vocab(),
        "{}: holds {} logits, this model has a vocabulary of {}", path, file.logits ? file.logits.size() : 0,
        model.vocab());
  return snapshot;
}

}  // namespace

std::string Fingerprint(const LoadedModel& model) {
  uint64_t hash = Hash(model.architecture->name);
  for (const Parameter& p : model.params->parameters()) {
    hash = Hash(p.name + p.tensor.shape().ToString(), hash);
    if (p.role != Role::kVector) continue;
    hash = Hash({static_cast<const char*>(p.tensor.raw()), p.tensor.bytes()}, hash);
  }
  return fmt::format("{:016x}", hash);
}

void WriteSnapshot(const std::filesystem::path& path, const LoadedModel& model, const std::string& tokenizer,
                   const Snapshot& snapshot, const std::map<std::string, std::string>& notes) {
  StateFile file{model.architecture->name, SizesText(model.sizes),
                 Fingerprint(model),       tokenizer,
                 snapshot.tokens,          {},
                 snapshot.logits,          notes};
  const auto& specs = model.params->states();
  Check(snapshot.variables.size() == specs.size(), "[state] {} variables were saved, the model has {}",
        snapshot.variables.size(), specs.size());
  for (size_t i = 0; i < specs.size(); ++i) file.variables[specs[i].name] = snapshot.variables[i];
  WriteStateFile(path, file);
}

ReadSnapshotResult ReadSnapshot(const std::filesystem::path& path, const LoadedModel& model,
                                const std::string& tokenizer) {
  const StateFile file = ReadStateFile(path);
  if (file.tuned()) return {FromTuned(file, path.string(), model), ""};
  ReadSnapshotResult result{FromState(file, path.string(), model), ""};
  if (file.weights != Fingerprint(model)) {
    result.warning =
        path.string() + ": was made with other weights of the same sizes and may mean little to these";
  } else if (file.tokenizer != tokenizer) {
    result.warning = fmt::format("{}: was made with the tokenizer '{}', this is '{}'", path.string(),
                                 file.tokenizer, tokenizer);
  }
  return result;
}

StateFile ReadStateFile(const std::filesystem::path& path) {
  const auto checkpoint = Checkpoint::Open(path);
  const auto& entries = checkpoint->entries();
  const auto& metadata = checkpoint->metadata();
  const auto text = [&](const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? std::string() : found->second;
  };
  const std::string version = text(kVersionKey);
  StateFile file;
  if (!version.empty()) {
    Check(version == kVersion, "{}: is a state of format {}, this version reads {}", path.string(), version,
          kVersion);
    file = {text("architecture"), text("sizes"), text("weights"), text("tokenizer"), 0, {}, {}, metadata};
    for (const char* key : {kVersionKey, "architecture", "sizes", "weights", "tokenizer", "tokens"})
      file.notes.erase(key);
    Check(!file.architecture.empty(), "{}: does not say what architecture its state is of", path.string());
    file.tokens = ParseTokens(text("tokens"), path.string());
  } else {
    const auto tuned = [](const Checkpoint::Entry& entry) { return entry.name.ends_with(kTuned); };
    Check(!entries.empty() && std::ranges::all_of(entries, tuned),
          "{}: is not a state: neither one that --state-out wrote nor a tuned one, which holds "
          "blocks.N.att.time_state alone",
          path.string());
  }
  for (const Checkpoint::Entry& entry : entries) {
    const Tensor values = AsFloat32(*checkpoint, entry);
    if (entry.name == kLogits && !file.tuned()) {
      file.logits = values;
    } else {
      file.variables[entry.name] = values;
    }
  }
  return file;
}

void WriteStateFile(const std::filesystem::path& path, const StateFile& file) {
  std::vector<NamedTensor> tensors;
  for (const auto& [name, tensor] : file.variables) tensors.push_back({name, tensor});
  if (file.tuned()) return WriteTuned(path, tensors);
  if (file.logits) tensors.push_back({kLogits, file.logits});
  std::map<std::string, std::string> metadata = {
      {kVersionKey, kVersion},       {"architecture", file.architecture},
      {"sizes", file.sizes},         {"weights", file.weights},
      {"tokenizer", file.tokenizer}, {"tokens", fmt::format("{}", file.tokens)}};
  metadata.insert(file.notes.begin(), file.notes.end());
  WriteSafetensors(path, tensors, metadata);
}

void CheckAlike(const StateFile& a, const StateFile& b, const std::string& first, const std::string& second) {
  Check(a.tuned() == b.tuned(), "{} is a tuned state and {} is not; only states of one kind go together",
        a.tuned() ? first : second, a.tuned() ? second : first);
  Check(a.architecture == b.architecture && a.sizes == b.sizes,
        "{} is a state of {} {}, {} of {} {}; only states of one model go together", first, a.architecture,
        a.sizes, second, b.architecture, b.sizes);
  Check(a.variables.size() == b.variables.size(), "{} holds {} variables, {} {}", first, a.variables.size(),
        second, b.variables.size());
  for (const auto& [name, tensor] : a.variables) {
    const Tensor* other = FindVariable(b, name);
    Check(other != nullptr, "{}: the variable {} of {} is missing", second, name, first);
    Check(other->shape() == tensor.shape(), "{} is {} in {} and {} in {}", name, tensor.shape(), first,
          other->shape(), second);
  }
}

StateFile Average(std::span<const StateFile> files, std::span<const double> weights) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  StateFile average = files[0];
  average.logits = {};
  average.notes = {};
  for (auto& [name, tensor] : average.variables) {
    std::vector<double> sums(tensor.size(), 0.0);
    for (size_t f = 0; f < files.size(); ++f) {
      const Tensor& values = files[f].variables.at(name);
      Check(values.size() != 1 || values.data()[0] == tensor.data()[0],
            "{} counts {} in one state and {} in another; only states of texts of one length can be mixed",
            name, tensor.data()[0], values.data()[0]);
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += weights[f] / total * values.data()[i];
    }
    tensor = Tensor::Empty(tensor.shape());
    std::ranges::transform(sums, tensor.data(), [](double sum) { return static_cast<float>(sum); });
  }
  for (const StateFile& file : files) {
    average.tokens = std::max(average.tokens, file.tokens);
    if (file.weights != average.weights) average.weights.clear();
    if (file.tokenizer != average.tokenizer) average.tokenizer.clear();
  }
  return average;
}

}  // namespace linnet
