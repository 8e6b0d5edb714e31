#include "train/tuned_states.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/backend.h"
#include "ops/tape.h"

namespace linnet {
namespace {

constexpr std::string_view kWkv = ".att.wkv", kTuned = ".att.time_state";

thread_local bool go_on_in_force = false;

struct Initial {
  int variable;  // of the state
  Tensor value;  // [H, value, key], the parameter
};

/// A model whose sequences begin with parameters.
class TunedStatesModel : public Model {
 public:
  TunedStatesModel(std::unique_ptr<Model> model, std::vector<Initial> initials, bool transposed)
      : model_(std::move(model)), initials_(std::move(initials)), transposed_(transposed) {}

  Tensor Hidden(const Batch& batch, const State& state) const override {
    if (StatesGoOn::InForce()) return model_->Hidden(batch, state);
    for (const Initial& initial : initials_) {
      const auto [in, out] = state.at(initial.variable);
      if (in.raw() != out.raw()) Begin(initial, in);  // states in place begin with what they hold
    }
    return model_->Hidden(batch, state);
  }
  const Tensor& head() const override { return model_->head(); }
  Tensor head_bias() const override { return model_->head_bias(); }

 private:
  /// Every slot of `in` [slots, ...] begins with the value. On a tape this is an op: the gradients of all
  /// slots add up to the value's.
  void Begin(const Initial& initial, const Tensor& in) const {
    const Tensor value = AsInModel(initial.value);
    for (Dim slot = 0; slot < in.dim(0); ++slot) {
      std::memcpy(in.data() + slot * value.size(), value.data(), value.bytes());
    }
    Tape* tape = Tape::For(initial.value);
    if (tape == nullptr) return;
    in.Track();
    tape->Record([this, in, parameter = initial.value] {
      if (!in.grad()) return;
      const Tensor sum = Tensor::Zeros(Shape{in.size() / in.dim(0)});
      Backend::For(in.device()).SumRows(in.grad().Reshape({in.dim(0), sum.size()}), sum);
      const Shape& p = parameter.shape();
      const Tensor gradient = transposed_ ? TransposedHeads(sum.Reshape({p[0], p[2], p[1]})) : sum.Reshape(p);
      Accumulate(parameter.gradient(), gradient);
      in.ClearGrad();
    });
  }
  Tensor AsInModel(const Tensor& value) const { return transposed_ ? TransposedHeads(value) : value; }

  std::unique_ptr<Model> model_;
  std::vector<Initial> initials_;
  bool transposed_;  // the model has its matrices as [key, value]
};

/// Variable -> parameter: "blocks.0.att.wkv" -> "blocks.0.att.time_state".
std::string TunedName(const std::string& variable) {
  return variable.substr(0, variable.size() - kWkv.size()) + std::string(kTuned);
}

}  // namespace

std::vector<Parameter> TuneStates(LoadedModel& model, const std::filesystem::path& path,
                                  const std::filesystem::path& saved) {
  const auto& specs = model.params->states();
  const bool transposed = model.architecture->state_is_key_value;
  std::vector<Initial> initials;
  std::vector<Parameter> parameters;
  const std::optional<Snapshot> snapshot =
      saved.empty() ? std::nullopt : std::optional(ReadSnapshot(saved, model, "").snapshot);
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!specs[i].name.ends_with(kWkv) || specs[i].shape.rank() != 3) continue;
    Tensor value = snapshot ? snapshot->variables[i] : specs[i].initial;
    value = value ? value.Clone() : Tensor::Zeros(specs[i].shape);
    if (transposed) value = TransposedHeads(value);
    initials.push_back({static_cast<int>(i), value});
    parameters.push_back({TunedName(specs[i].name), value, Role::kVector, 1});
  }
  Check(!parameters.empty(),
        "{}: --tune state trains the matrices that RWKV-5, 6 and 7 have as states, and {} has none; train a "
        "LoRA (--lora 16)",
        path.string(), model.architecture->title);
  model.model = std::make_unique<TunedStatesModel>(std::move(model.model), std::move(initials), transposed);
  return parameters;
}

StatesGoOn::StatesGoOn(bool go_on) : outer_(std::exchange(go_on_in_force, go_on)) {}
StatesGoOn::~StatesGoOn() { go_on_in_force = outer_; }
bool StatesGoOn::InForce() { return go_on_in_force; }

Snapshot TunedBeginning(const LoadedModel& model, const std::vector<Parameter>& parameters) {
  Snapshot snapshot{model.NewState(1).Save(0), {}, {}};
  const auto& specs = model.params->states();
  for (const Parameter& p : parameters) {
    const auto spec = std::ranges::find_if(
        specs, [&](const StateSpec& s) { return s.name.ends_with(kWkv) && TunedName(s.name) == p.name; });
    Check(spec != specs.end(), "[state] {} is the beginning of no state of the model", p.name);
    snapshot.variables[spec - specs.begin()] =
        model.architecture->state_is_key_value ? TransposedHeads(p.tensor) : p.tensor.Clone();
  }
  return snapshot;
}

}  // namespace linnet
