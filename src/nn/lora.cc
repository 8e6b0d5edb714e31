#include "nn/lora.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "kernels/backend.h"
#include "nn/state_file.h"

namespace linnet {
namespace {

constexpr const char* kVersionKey = "linnet_lora";
constexpr const char* kVersion = "1";
constexpr std::string_view kWeight = ".weight", kA = ".lora_A", kB = ".lora_B";

std::string Renamed(const std::string& weight, std::string_view ending) {
  Check(weight.ends_with(kWeight), "[lora] {} is not the name of a weight", weight);
  return weight.substr(0, weight.size() - kWeight.size()) + std::string(ending);
}

Tensor AsFloat32(const Checkpoint& file, const std::string& name) {
  const Checkpoint::Entry* entry = file.Find(name);
  const std::string path = file.path().string();
  Check(entry != nullptr, "{}: {} is missing, of which it has the other factor", path, name);
  Check(entry->shape.rank() == 2 && entry->shape.size() > 0, "{}: {} is {}, a matrix was expected", path,
        name, entry->shape);
  Check(IsReal(entry->dtype) && !IsQuantized(entry->dtype),
        "{}: {} holds {}, floating-point numbers were "
        "expected",
        path, name, Traits(entry->dtype).name);
  const Tensor stored = file.Load(name);
  if (stored.dtype() == DType::kF32) return stored;
  const Tensor values = Tensor::Empty(entry->shape);
  Backend::For(values.device()).Convert(stored, values);
  return values;
}

std::optional<double> Number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool all = error == std::errc() && end == text.data() + text.size() && std::isfinite(number);
  return all ? std::optional(number) : std::nullopt;
}

/// A model that computes with adapters.
class AdaptedModel : public Model {
 public:
  AdaptedModel(std::unique_ptr<Model> model, std::shared_ptr<const Adapters> adapters)
      : model_(std::move(model)), adapters_(std::move(adapters)) {}

  Tensor Hidden(const Batch& batch, const State& state) const override {
    const AdaptersInForce scope(adapters_.get());
    return model_->Hidden(batch, state);
  }
  const Tensor& head() const override { return model_->head(); }
  Tensor head_bias() const override { return model_->head_bias(); }

 private:
  std::unique_ptr<Model> model_;
  std::shared_ptr<const Adapters> adapters_;
};

void CheckFits(const Lora& lora, const Lora::Factors& factors, const Parameter* parameter,
               const LoadedModel& model) {
  Check(parameter != nullptr,
        "{}: adapts {}, which this model ({} of {} layers) has not; use the model that it "
        "was made for",
        lora.path, factors.weight, model.architecture->name, model.sizes.at("layers"));
  Check(IsAdaptable(*parameter), "{}: adapts {}, which is not a matrix that blocks multiply with", lora.path,
        factors.weight);
  const Shape& shape = parameter->tensor.shape();
  Check(factors.a.dim(1) == shape[1] && factors.b.dim(0) == shape[0],
        "{}: factors {} and {} do not fit {}, which is {} in this model; use the model that it was made for",
        lora.path, factors.a.shape(), factors.b.shape(), factors.weight, shape);
}

double ScaleOf(const Lora& lora, const LoraChoice& choice) {
  Check(lora.scale || choice.factor,
        "{}: does not say its alpha; give {}:SCALE, with SCALE its alpha divided by "
        "its rank",
        lora.path, choice.file);
  return lora.scale.value_or(1) * choice.factor.value_or(1);
}

}  // namespace

std::string LoraNameA(const std::string& weight) { return Renamed(weight, kA); }
std::string LoraNameB(const std::string& weight) { return Renamed(weight, kB); }

std::map<std::string, std::string> LoraMetadata(const LoadedModel& model, int64_t rank, double alpha) {
  return {{kVersionKey, kVersion},
          {"rank", std::to_string(rank)},
          {"alpha", fmt::format("{}", alpha)},
          {"architecture", model.architecture->name},
          {"weights", Fingerprint(model)}};
}

Lora ReadLora(const std::filesystem::path& path) {
  const auto file = Checkpoint::OpenAsStored(MappedFile(path));
  const auto text = [&](const char* key) {
    const auto found = file->metadata().find(key);
    return found == file->metadata().end() ? std::string() : found->second;
  };
  Lora lora{path.string(), text("architecture"), text("weights"), {}, {}};
  if (const std::string version = text(kVersionKey); !version.empty()) {
    Check(version == kVersion, "{}: is a LoRA of format {}, this version reads {}", lora.path, version,
          kVersion);
    const auto rank = Number(text("rank")), alpha = Number(text("alpha"));
    Check(rank && alpha && *rank > 0, "{}: its metadata say rank '{}' and alpha '{}'", lora.path,
          text("rank").substr(0, 40), text("alpha").substr(0, 40));
    lora.scale = *alpha / *rank;
  }
  for (const Checkpoint::Entry& entry : file->entries()) {
    const bool is_a = entry.name.ends_with(kA);
    Check(is_a || entry.name.ends_with(kB),
          "{}: is not a LoRA: it holds {}, and a LoRA only NAME.lora_A and "
          "NAME.lora_B",
          lora.path, entry.name);
    const std::string prefix = entry.name.substr(0, entry.name.size() - kA.size());
    if (!is_a) {
      Check(file->Find(prefix + std::string(kA)) != nullptr, "{}: {} has no {}{} beside it", lora.path,
            entry.name, prefix, kA);
      continue;
    }
    Lora::Factors factors{prefix + std::string(kWeight), AsFloat32(*file, entry.name),
                          AsFloat32(*file, prefix + std::string(kB))};
    Check(factors.a.dim(0) == factors.b.dim(1), "{}: {} is {} and its other factor {}: their ranks differ",
          lora.path, entry.name, factors.a.shape(), factors.b.shape());
    lora.factors.push_back(std::move(factors));
  }
  Check(!lora.factors.empty(), "{}: is not a LoRA: it holds no tensor", lora.path);
  return lora;
}

LoraChoice LoraChoice::Parse(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || std::filesystem::exists(text)) return {text, {}};
  const auto factor = Number(std::string_view(text).substr(colon + 1));
  Check(factor.has_value(), "--lora {}: what follows the colon must be a number; give FILE or FILE:0.5",
        text);
  return {text.substr(0, colon), factor};
}

ReadLorasResult ReadLoras(const std::vector<LoraChoice>& loras, const LoadedModel& model) {
  std::map<std::string, const Parameter*> parameters;
  for (const Parameter& p : model.params->parameters()) parameters[p.name] = &p;
  ReadLorasResult result{std::make_shared<Adapters>(), ""};
  for (const LoraChoice& choice : loras) {
    const Lora lora = ReadLora(choice.file);
    const auto scale = static_cast<float>(ScaleOf(lora, choice));
    for (const Lora::Factors& factors : lora.factors) {
      const auto found = parameters.find(factors.weight);
      const Parameter* parameter = found == parameters.end() ? nullptr : found->second;
      CheckFits(lora, factors, parameter, model);
      result.adapters->Add(parameter->tensor, {factors.a, factors.b, scale});
    }
    if (!lora.fingerprint.empty() && lora.fingerprint != Fingerprint(model)) {
      result.warning = lora.path + ": was made for other weights of the same sizes and may harm these";
    }
  }
  return result;
}

bool IsAdaptable(const Parameter& parameter) {
  return parameter.role == Role::kMatrix && parameter.name.starts_with("blocks.") &&
         parameter.name.ends_with(kWeight) && !parameter.name.ends_with("emb.weight");
}

void Adapt(LoadedModel& model, std::shared_ptr<const Adapters> adapters) {
  model.model = std::make_unique<AdaptedModel>(std::move(model.model), std::move(adapters));
}

Tensor Folded(const Tensor& weight, std::span<const Adapter> adapters) {
  Backend& backend = Backend::For(weight.device());
  const Tensor sum = Tensor::Empty(weight.shape());
  backend.Convert(weight, sum);
  for (const auto& [a, b, scale] : adapters) {
    const Tensor scaled = b.Clone();
    backend.Scale(scale, scaled);
    backend.MatMul(scaled, false, a, false, sum, true);
  }
  return sum;
}

}  // namespace linnet
