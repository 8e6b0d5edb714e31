#include "train/weights.h"

#include <functional>
#include <optional>
#include <tuple>

#include "train/groups.h"

namespace linnet {
namespace {

constexpr Dim kDefaultLayers = 4, kDefaultWidth = 256, kDefaultVocab = 256;

/// `exact` has the same parameters with float32 matrices; it is not asked for where `model` has these itself.
TrainableModel WithMasters(LoadedModel model, const std::function<LoadedModel()>& exact) {
  TrainableModel result{std::move(model), {}};
  std::optional<LoadedModel> unrounded;
  for (size_t i = 0; i < result.parameters().size(); ++i) {
    const Tensor& tensor = result.parameters()[i].tensor;
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

/// A model from a file, whose sizes must be those asked for where any are.
TrainableModel FromFile(const TrainOptions& o, const std::filesystem::path& path, MatrixType matrices) {
  TrainableModel loaded = LoadTrainable(path, matrices);
  const LoadedModel& model = loaded.model;
  Check(!o.given.contains("--arch") || model.architecture->name == o.arch,
        "--arch is {} but {} is {}; leave the flag out", o.arch, path.string(), model.architecture->name);
  const std::tuple<const char*, const char*, int64_t> asked[] = {{"--layers", "layers", o.layers},
                                                                 {"--width", "width", o.width},
                                                                 {"--head-size", "head_size", o.head_size},
                                                                 {"--ffn", "ffn", o.ffn},
                                                                 {"--vocab", "vocab", o.vocab}};
  for (const auto& [flag, name, value] : asked) {
    const auto size = model.sizes.find(name);  // not every architecture has heads
    const Dim has = size != model.sizes.end() ? size->second : 0;
    Check(value == 0 || value == has, "{} is {} but {} has {}; leave the flag out", flag, value,
          path.string(), has);
  }
  return loaded;
}

}  // namespace

Sizes FreshSizes(const TrainOptions& o) {
  Sizes sizes;
  Set(sizes, "layers", o.layers, kDefaultLayers);
  Set(sizes, "width", o.width, kDefaultWidth);
  Set(sizes, "vocab", o.vocab, kDefaultVocab);
  Set(sizes, "head_size", o.head_size, 0);
  Set(sizes, "ffn", o.ffn, 0);
  return FindArchitecture(o.arch).complete_sizes(sizes);
}

TrainableModel NewTrainable(const Architecture& architecture, const Sizes& sizes, uint64_t seed,
                            MatrixType matrices) {
  return WithMasters(NewModel(architecture, sizes, seed, matrices),
                     [&] { return NewModel(architecture, sizes, seed, MatrixType::kF32); });
}

TrainableModel LoadTrainable(const std::filesystem::path& path, MatrixType matrices) {
  return WithMasters(LoadModel(path, matrices, Access::kWrite),
                     [&] { return LoadModel(path, MatrixType::kF32, Access::kWrite); });
}

TrainableModel StartingWeights(const TrainOptions& options, const std::filesystem::path& file) {
  const MatrixType matrices = options.precision == "bf16" ? MatrixType::kBf16 : MatrixType::kF32;
  if (!file.empty()) return FromFile(options, file, matrices);
  return NewTrainable(FindArchitecture(options.arch), FreshSizes(options),
                      static_cast<uint64_t>(options.seed), matrices);
}

void CompleteOptions(TrainOptions& options, const LoadedModel& model) {
  options.arch = model.architecture->name;
  options.layers = model.sizes.at("layers");
  options.width = model.sizes.at("width");
  options.head_size = model.sizes.contains("head_size") ? model.sizes.at("head_size") : 0;
  options.ffn = model.sizes.at("ffn");
  options.vocab = model.sizes.at("vocab");
  const TrainingDefaults defaults = DefaultsOf(options.arch);
  if (options.eps < 0) options.eps = defaults.eps;
  if (options.warmup_start < 0) options.warmup_start = defaults.warmup_start;
}

}  // namespace linnet
