#include "train/weights.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <tuple>

#include "nn/name_patterns.h"
#include "train/groups.h"
#include "train/tuning.h"

namespace linnet {
namespace {

constexpr Dim kDefaultLayers = 4, kDefaultWidth = 256, kDefaultVocab = 256;

/// `exact` has the same parameters with float32 matrices; it is not asked for where `model` has these itself.
TrainableModel WithMasters(LoadedModel model, const std::function<LoadedModel()>& exact,
                           const Chosen& chosen) {
  TrainableModel result{std::move(model), {}, {}, {}, {}};
  std::optional<LoadedModel> unrounded;
  const std::vector<Parameter>& parameters = result.model.params->parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (chosen && !chosen(parameters[i])) continue;
    result.trainable.push_back(parameters[i]);
    const Tensor& tensor = parameters[i].tensor;
    tensor.Track();
    if (tensor.dtype() != DType::kF32 && !unrounded) unrounded = exact();
    result.masters.push_back(tensor.dtype() == DType::kF32 ? Tensor()
                                                           : unrounded->params->parameters()[i].tensor);
  }
  return result;
}

void Set(Sizes& sizes, const char* name, int64_t chosen, Dim otherwise) {
  const Dim value = chosen != 0 ? chosen : otherwise;
  if (value != 0) sizes[name] = value;
}

/// The parameters that --train and --freeze leave to be trained.
Chosen ChosenBy(const TrainOptions& o) {
  if (o.train_only.empty() && o.freeze.empty()) return {};
  const auto only =
      o.train_only.empty() ? std::nullopt : std::optional(NamePatterns("--train", o.train_only));
  const auto frozen = o.freeze.empty() ? std::nullopt : std::optional(NamePatterns("--freeze", o.freeze));
  return [only, frozen](const Parameter& p) {
    return (!only || only->Match(p.name)) && (!frozen || !frozen->Match(p.name));
  };
}

/// Throws Error if --train or --freeze name what the model has not, or leave nothing to train.
TrainableModel CheckedChoice(const TrainOptions& o, TrainableModel weights) {
  std::vector<std::string> names;
  for (const Parameter& p : weights.model.params->parameters()) names.push_back(p.name);
  if (!o.train_only.empty()) NamePatterns("--train", o.train_only).CheckAllMatch(names);
  if (!o.freeze.empty()) NamePatterns("--freeze", o.freeze).CheckAllMatch(names);
  Check(!weights.parameters().empty(), "--train and --freeze leave nothing to train; freeze less");
  return weights;
}

TrainableModel Fresh(const TrainOptions& o, MatrixType matrices) {
  return NewTrainable(FindArchitecture(o.arch), FreshSizes(o), static_cast<uint64_t>(o.seed), matrices,
                      ChosenBy(o));
}

TrainableModel FromFile(const TrainOptions& o, const std::filesystem::path& path, MatrixType matrices) {
  const auto checkpoint = Checkpoint::Open(path);
  for (const Checkpoint::Entry& entry : checkpoint->entries()) {
    Check(
        !IsQuantized(entry.dtype),
        "{}: {} is {}, which cannot be trained; train a LoRA on it (--lora 16) or its initial states (--tune "
        "state), or convert it first: linnet convert {} OUT.safetensors --dtype bf16",
        path.string(), entry.name, Traits(entry.dtype).name, path.string());
  }
  TrainableModel loaded = LoadTrainable(path, matrices, ChosenBy(o));
  CheckAsAsked(o, loaded.model, path);
  const auto context = loaded.model.sizes.find("context");
  Check(context == loaded.model.sizes.end() || context->second >= o.ctx,
        "{}: remembers {} tokens, fewer than --ctx {}; choose a shorter --ctx", path.string(),
        context == loaded.model.sizes.end() ? 0 : context->second, o.ctx);
  return loaded;
}

/// Puts in what --sizes says. Throws Error unless each is NAME=NUMBER of a size that is among `known`.
void SetFurther(const std::vector<std::string>& further, const Sizes& known, Sizes& sizes) {
  for (const std::string& setting : further) {
    const size_t equals = std::min(setting.find('='), setting.size());
    const std::string name = setting.substr(0, equals);
    std::string names;
    for (const auto& [known_name, size] : known) names += (names.empty() ? "" : ", ") + known_name;
    Check(known.contains(name), "--sizes: the architecture has no size '{}'; it has {}", name, names);
    Dim value = 0;
    const char* const first = setting.data() + std::min(equals + 1, setting.size());
    const char* const last = setting.data() + setting.size();
    Check(std::from_chars(first, last, value).ptr == last && first != last && value >= 0 && value <= 1 << 24,
          "--sizes: {} must be NAME=NUMBER, with a whole number from 0 to {}", setting, 1 << 24);
    sizes[name] = value;
  }
}

}  // namespace

Sizes FreshSizes(const TrainOptions& o) {
  Sizes sizes;
  Set(sizes, "layers", o.layers, kDefaultLayers);
  Set(sizes, "width", o.width, kDefaultWidth);
  Set(sizes, "vocab", o.vocab, kDefaultVocab);
  Set(sizes, "head_size", o.head_size, 0);
  Set(sizes, "ffn", o.ffn, 0);
  const Architecture& architecture = FindArchitecture(o.arch);
  CheckTrainable(architecture);
  SetFurther(o.sizes, architecture.complete_sizes(sizes), sizes);
  sizes = architecture.complete_sizes(sizes);
  Check(o.context == 0 || sizes.contains("context"), "{} has no context to choose; leave --context out",
        o.arch);
  Check(o.context == 0 || o.context >= o.ctx,
        "--context {} is too short for samples of --ctx {} tokens; raise the one or lower the other",
        o.context, o.ctx);
  // Of those that remember a fixed number of tokens: as many as they will be trained with.
  if (sizes.contains("context")) sizes["context"] = o.context > 0 ? o.context : o.ctx;
  return sizes;
}

std::vector<NamedTensor> TrainableModel::Contents(const std::vector<Tensor>& parameter_values) const {
  std::map<std::string, Tensor> trained;
  std::vector<NamedTensor> contents;
  for (size_t i = 0; i < trainable.size(); ++i) {
    const std::string& name = trainable[i].name;
    const auto beginning = beginnings.find(name);
    const Tensor value = beginning == beginnings.end()
                             ? parameter_values[i]
                             : WithBeginning(name, parameter_values[i], beginning->second);
    if (beside_model()) contents.push_back({name, value});
    trained[name] = value;
  }
  if (beside_model()) return contents;
  for (const Parameter& p : model.params->parameters()) {
    const auto found = trained.find(p.name);
    contents.push_back({p.name, found == trained.end() ? p.tensor : found->second});
  }
  return contents;
}

std::vector<NamedTensor> TrainableModel::Contents() const {
  std::vector<Tensor> all;
  for (size_t i = 0; i < trainable.size(); ++i) all.push_back(values(i));
  return Contents(all);
}

std::vector<Trained> TrainableModel::trained() const {
  std::vector<Trained> result;
  for (size_t i = 0; i < masters.size(); ++i) {
    result.push_back({trainable[i], masters[i], 0, trainable[i].tensor.shape()});
  }
  return result;
}

Tensor Elements(const Tensor& x, Dim begin, Dim count) {
  const auto* first = static_cast<const std::byte*>(x.raw()) + begin * Traits(x.dtype()).bytes_per_block;
  return Tensor::Wrap(std::make_shared<Tensor>(x), first, {count}, x.dtype());
}

TrainableModel NewTrainable(const Architecture& architecture, const Sizes& sizes, uint64_t seed,
                            MatrixType matrices, const Chosen& chosen) {
  return WithMasters(
      NewModel(architecture, sizes, seed, matrices),
      [&] { return NewModel(architecture, sizes, seed, MatrixType::kF32); }, chosen);
}

TrainableModel LoadTrainable(const std::filesystem::path& path, MatrixType matrices, const Chosen& chosen) {
  return WithMasters(
      LoadModel(path, matrices, Access::kWrite),
      [&] { return LoadModel(path, MatrixType::kF32, Access::kWrite); }, chosen);
}

TrainableModel StartingWeights(const TrainOptions& options, const std::filesystem::path& saved) {
  if (TrainsBesideModel(options)) return StartTuning(options, saved);
  const MatrixType matrices = options.precision == "bf16" ? MatrixType::kBf16 : MatrixType::kF32;
  const std::filesystem::path file = saved.empty() ? std::filesystem::path(options.init) : saved;
  return CheckedChoice(options, file.empty() ? Fresh(options, matrices) : FromFile(options, file, matrices));
}

void CheckAsAsked(const TrainOptions& o, const LoadedModel& model, const std::filesystem::path& path) {
  CheckTrainable(*model.architecture);
  Check(!o.given.contains("--arch") || model.architecture->name == o.arch,
        "--arch is {} but {} is {}; leave the flag out", o.arch, path.string(), model.architecture->name);
  const std::tuple<const char*, const char*, int64_t> asked[] = {
      {"--layers", "layers", o.layers},          {"--width", "width", o.width},
      {"--head-size", "head_size", o.head_size}, {"--ffn", "ffn", o.ffn},
      {"--context", "context", o.context},       {"--vocab", "vocab", o.vocab}};
  for (const auto& [flag, name, value] : asked) {
    const auto size = model.sizes.find(name);  // not every architecture has heads
    const Dim has = size != model.sizes.end() ? size->second : 0;
    Check(value == 0 || value == has, "{} is {} but {} has {}; leave the flag out", flag, value,
          path.string(), has);
  }
}

void CompleteOptions(TrainOptions& options, const LoadedModel& model) {
  CheckTrainable(*model.architecture);
  options.arch = model.architecture->name;
  options.layers = model.sizes.at("layers");
  options.width = model.sizes.at("width");
  const auto size = [&](const char* name) {  // which not every architecture has
    const auto found = model.sizes.find(name);
    return found == model.sizes.end() ? 0 : found->second;
  };
  options.head_size = size("head_size");
  options.ffn = size("ffn");
  options.vocab = model.sizes.at("vocab");
  const TrainingDefaults defaults = DefaultsOf(options.arch);
  if (options.eps < 0) options.eps = defaults.eps;
  if (options.warmup_start < 0) options.warmup_start = defaults.warmup_start;
}

}  // namespace linnet
