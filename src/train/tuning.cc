#include "train/tuning.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "kernels/backend.h"
#include "nn/lora.h"
#include "nn/name_patterns.h"
#include "nn/state_file.h"
#include "train/principal.h"
#include "train/tuned_states.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr const char *kBase = "base", *kBaseBytes = "base_bytes", *kWeights = "weights";

double Alpha(const TrainOptions& o) { return o.lora_alpha != 0 ? o.lora_alpha : static_cast<double>(o.lora); }

/// What tells the model apart that something was trained beside: its file's name and size, and its
/// fingerprint.
std::map<std::string, std::string> AboutBase(const LoadedModel& model, const fs::path& path) {
  return {{kBase, fs::weakly_canonical(path).filename().string()},
          {kBaseBytes, std::to_string(Checkpoint::Open(path)->file_bytes())},
          {kWeights, Fingerprint(model)}};
}

/// The same numbers only come out of the same file: one of other types of numbers would train, but
/// differently.
void CheckSameBase(const fs::path& saved, const fs::path& base,
                   const std::map<std::string, std::string>& about) {
  const auto checkpoint = Checkpoint::Open(saved);
  for (const char* key : {kBaseBytes, kWeights}) {
    const auto found = checkpoint->metadata().find(key);
    Check(found != checkpoint->metadata().end(), "{}: does not say which model it was trained beside",
          saved.string());
    Check(found->second == about.at(key),
          "{}: is not the model that {} was trained beside ({} is {}, then it was {}); give that one with "
          "--init",
          base.string(), saved.string(), key == kWeights ? "its fingerprint" : "its size in bytes",
          about.at(key), found->second);
  }
}

/// The weights that get adapters.
std::vector<Parameter> Targets(const TrainOptions& o, const LoadedModel& model) {
  const NamePatterns patterns("--lora-targets", o.lora_targets.empty() ? "*" : o.lora_targets);
  std::vector<std::string> names;
  std::vector<Parameter> targets;
  for (const Parameter& p : model.params->parameters()) {
    if (!IsAdaptable(p)) continue;
    names.push_back(p.name);
    if (!patterns.Match(p.name)) continue;
    const Dim most = std::min(p.tensor.dim(0), p.tensor.dim(1));
    Check(o.lora <= most, "--lora {} is more than the rank of {}, which is {}; give at most {}", o.lora,
          p.name, p.tensor.shape(), most);
    targets.push_back(p);
  }
  patterns.CheckAllMatch(names);
  return targets;
}

/// Rows [begin, end) of x, copied.
Tensor SomeRows(const Tensor& x, Dim begin, Dim end) {
  const Tensor rows = Tensor::Empty({end - begin, x.dim(1)});
  std::copy(x.data() + begin * x.dim(1), x.data() + end * x.dim(1), rows.data());
  return rows;
}

/// Columns [begin, end) of x times `factor`.
Tensor SomeColumns(const Tensor& x, Dim begin, Dim end, float factor) {
  const Tensor columns = Tensor::Empty({x.dim(0), end - begin});
  for (Dim i = 0; i < x.dim(0); ++i) {
    for (Dim j = begin; j < end; ++j) {
      columns.data()[i * (end - begin) + j - begin] = factor * x.data()[i * x.dim(1) + j];
    }
  }
  return columns;
}

/// An adapter in training, and what it began as, if that is a part of the weight.
struct Start {
  Tensor a, b, a0, b0;
};

Start NewStart(const TrainOptions& o, const Parameter& target) {
  const Dim out = target.tensor.dim(0), in = target.tensor.dim(1);
  const std::string name = LoraNameA(target.name);
  Random random(static_cast<uint64_t>(o.seed), Hash(name));
  if (!o.pissa) {
    Start start{Tensor::Empty({o.lora, in}), Tensor::Zeros({out, o.lora}), {}, {}};
    init::Uniform(1 / std::sqrt(static_cast<float>(in)))(start.a, random);
    return start;
  }
  const Tensor values = Tensor::Empty(target.tensor.shape());
  Backend& backend = Backend::For(values.device());
  backend.Convert(target.tensor, values);
  const auto [a, b] = PrincipalPart(values, o.lora, random);
  const double scale = Alpha(o) / static_cast<double>(o.lora);
  for (const Tensor& factor : {a, b}) backend.Scale(static_cast<float>(1 / std::sqrt(scale)), factor);
  return {a.Clone(), b.Clone(), a, b};
}

/// As WithBeginning has put it into a file.
Start SavedStart(const TrainOptions& o, const Lora& lora, const Parameter& target) {
  const auto found = std::ranges::find(lora.factors, target.name, &Lora::Factors::weight);
  Check(found != lora.factors.end(), "{}: has no adapter of {}", lora.path, target.name);
  const Dim rank = o.lora, held = o.pissa ? 2 * rank : rank;
  Check(found->a.shape() == Shape({held, target.tensor.dim(1)}) &&
            found->b.shape() == Shape({target.tensor.dim(0), held}),
        "{}: the adapter of {} is {} and {}, of rank {} it should be", lora.path, target.name,
        found->a.shape(), found->b.shape(), held);
  if (!o.pissa) return {found->a.Clone(), found->b.Clone(), {}, {}};
  return {SomeRows(found->a, 0, rank), SomeColumns(found->b, 0, rank, 1), SomeRows(found->a, rank, held),
          SomeColumns(found->b, rank, held, -1)};
}

void StartLora(const TrainOptions& o, const fs::path& saved, TrainableModel& weights) {
  const auto scale = static_cast<float>(Alpha(o) / static_cast<double>(o.lora));
  const auto adapters = std::make_shared<Adapters>();
  const std::optional<Lora> lora = saved.empty() ? std::nullopt : std::optional(ReadLora(saved));
  const std::vector<Parameter> targets = Targets(o, weights.model);
  Check(!lora || lora->factors.size() == targets.size(), "{}: has {} adapters, --lora-targets asks for {}",
        saved.string(), lora ? lora->factors.size() : 0, targets.size());
  for (const Parameter& target : targets) {
    const Start start = lora ? SavedStart(o, *lora, target) : NewStart(o, target);
    adapters->Add(target.tensor, {start.a, start.b, scale});
    const std::string name_a = LoraNameA(target.name), name_b = LoraNameB(target.name);
    weights.trainable.push_back({name_a, start.a, Role::kLowRank, 1});
    weights.trainable.push_back({name_b, start.b, Role::kLowRank, 1});
    if (!o.pissa) continue;
    adapters->Add(target.tensor, {start.a0, start.b0, -scale});
    weights.beginnings[name_a] = start.a0;
    weights.beginnings[name_b] = start.b0;
  }
  // A file of twice the rank has twice the alpha, and so the same scale.
  const int times = o.pissa ? 2 : 1;
  weights.metadata.merge(LoraMetadata(weights.model, times * o.lora, times * Alpha(o)));
  Adapt(weights.model, adapters);
}

/// Puts what is trained, new or as a checkpoint `saved` it, beside the model.
void Begin(const TrainOptions& o, const fs::path& saved, TrainableModel& weights) {
  if (o.lora > 0) {
    StartLora(o, saved, weights);
  } else {
    weights.trainable = TuneStates(weights.model, o.init, saved);
  }
  for (const Parameter& p : weights.trainable) p.tensor.Track();
  weights.masters.resize(weights.trainable.size());
}

}  // namespace

bool TrainsBesideModel(const TrainOptions& options) { return options.lora > 0 || options.tune == "state"; }

TrainableModel StartTuning(const TrainOptions& o, const fs::path& saved) {
  const MatrixType matrices = o.precision == "bf16" ? MatrixType::kBf16 : MatrixType::kStored;
  TrainableModel weights{LoadModel(o.init, matrices, Access::kRead), {}, {}, {}, {}};
  CheckAsAsked(o, weights.model, o.init);
  weights.metadata = AboutBase(weights.model, o.init);
  if (!saved.empty()) CheckSameBase(saved, o.init, weights.metadata);
  Begin(o, saved, weights);
  return weights;
}

TrainableModel StartTuningBeside(const TrainOptions& o, LoadedModel model) {
  TrainableModel weights{std::move(model), {}, {}, {}, {}};
  weights.metadata[kWeights] = Fingerprint(weights.model);
  Begin(o, {}, weights);
  return weights;
}

Tensor WithBeginning(const std::string& name, const Tensor& value, const Tensor& beginning) {
  const Shape& shape = value.shape();
  if (name.ends_with(".lora_A")) {
    const Tensor both = Tensor::Empty({2 * shape[0], shape[1]});
    std::copy_n(value.data(), value.size(), both.data());
    std::copy_n(beginning.data(), value.size(), both.data() + value.size());
    return both;
  }
  const Dim rank = shape[1];
  const Tensor both = Tensor::Empty({shape[0], 2 * rank});
  for (Dim i = 0; i < shape[0]; ++i) {
    for (Dim j = 0; j < rank; ++j) {
      both.data()[i * 2 * rank + j] = value.data()[i * rank + j];
      both.data()[i * 2 * rank + rank + j] = -beginning.data()[i * rank + j];
    }
  }
  return both;
}

void CheckTuningOptions(const TrainOptions& o) {
  Check(o.tune == "full" || o.tune == "state", "--tune must be full or state but is '{}'", o.tune);
  const bool beside = TrainsBesideModel(o), chosen = !o.freeze.empty() || !o.train_only.empty();
  Check(o.lora == 0 || o.tune == "full",
        "--lora trains adapters and --tune state initial states, files of two kinds; leave one of them out");
  Check(!beside || o.ema == 0,
        "--ema averages a model's own weights; leave it out with --lora and --tune state");
  Check(!beside || !o.init.empty(),
        "{} trains beside a model that is there already; give it with --init FILE",
        o.lora > 0 ? "--lora" : "--tune state");
  Check(
      !beside || !chosen,
      "--train and --freeze choose among the model's own parameters, all of which {} freezes; leave them out",
      o.lora > 0 ? "--lora" : "--tune state");
  Check(o.lora > 0 || (o.lora_alpha == 0 && o.lora_targets.empty() && !o.pissa && o.lora_dropout == 0),
        "--lora-alpha, --lora-targets, --lora-dropout and --pissa say how a LoRA is trained; give its rank "
        "with --lora");
  Check(!o.pissa || o.lora_dropout == 0,
        "--lora-dropout drops parts of what a LoRA adds, and --pissa begins it as the principal part of each "
        "weight, which the model cannot be without; leave one of them out");
}

}  // namespace linnet
