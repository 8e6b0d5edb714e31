#include "nn/model.h"

#include "ops/ops.h"

namespace linnet {

Tensor Model::Forward(const Batch& batch, const State& state) const {
  return ops::Linear(Hidden(batch, state), head(), head_bias());
}

const Architecture& FindArchitecture(const std::string& name) {
  std::string known;
  for (const Architecture& architecture : Architectures()) {
    if (architecture.name == name) return architecture;
    known += (known.empty() ? "" : ", ") + architecture.name;
  }
  Fail("there is no architecture '{}'; known are: {}", name, known);
}

void CheckTrainable(const Architecture& architecture) {
  Check(architecture.untrainable.empty(),
        "{} can be run, not trained: {}; choose another architecture, such as rwkv7", architecture.name,
        architecture.untrainable);
}

namespace {

/// Names the remedy where somebody takes what was trained beside a model for a model.
void CheckNotBeside(const Checkpoint& checkpoint) {
  for (const Checkpoint::Entry& entry : checkpoint.entries()) {
    Check(!entry.name.ends_with(".lora_A"),
          "{}: is a LoRA, no model; give the model that it was trained beside, and this with --lora",
          checkpoint.path().string());
    Check(
        !entry.name.ends_with(".time_state"),
        "{}: is a tuned state, no model; give the model that it was trained beside, and this with --state-in",
        checkpoint.path().string());
  }
}

}  // namespace

LoadedModel LoadModel(const std::filesystem::path& path, MatrixType matrices, Access access,
                      const Sizes& chosen) {
  const std::unique_ptr<Checkpoint> checkpoint = Checkpoint::Open(path);
  const Architecture* architecture = nullptr;
  for (const Architecture& candidate : Architectures()) {
    if (candidate.matches(*checkpoint)) architecture = &candidate;
  }
  if (architecture == nullptr) {
    CheckNotBeside(*checkpoint);
    std::string known;
    for (const Architecture& a : Architectures()) known += (known.empty() ? "" : ", ") + a.title;
    Fail("{}: the names of its {} tensors are of no architecture that this version runs ({})", path.string(),
         checkpoint->entries().size(), known);
  }
  LoadedModel loaded;
  loaded.architecture = architecture;
  loaded.sizes = architecture->read_sizes(*checkpoint);
  for (const auto& [name, size] : chosen) {
    Check(loaded.sizes.contains(name), "{}: models of {} have no {} to choose; leave --{} out", path.string(),
          architecture->name, name, name);
    loaded.sizes[name] = size;
  }
  loaded.params = std::make_unique<ParamStore>(*checkpoint, matrices, access);
  loaded.model = architecture->make(Params(*loaded.params), loaded.sizes);
  loaded.params->CheckAllUsed(architecture->ignored);
  loaded.params->Detach();
  loaded.metadata = checkpoint->metadata();
  loaded.vocabulary = checkpoint->vocabulary();
  loaded.format = checkpoint->format();
  return loaded;
}

namespace {

LoadedModel NewModel(const Architecture& architecture, const Sizes& sizes,
                     std::unique_ptr<ParamStore> params) {
  LoadedModel fresh;
  fresh.architecture = &architecture;
  fresh.sizes = sizes;
  fresh.params = std::move(params);
  fresh.model = architecture.make(Params(*fresh.params), sizes);
  return fresh;
}

}  // namespace

LoadedModel NewModel(const Architecture& architecture, const Sizes& sizes, uint64_t seed,
                     MatrixType matrices) {
  return NewModel(architecture, sizes, std::make_unique<ParamStore>(seed, matrices));
}

LoadedModel NewModel(const Architecture& architecture, const Sizes& sizes, RandomMatrices random) {
  return NewModel(architecture, sizes, std::make_unique<ParamStore>(random));
}

}  // namespace linnet
