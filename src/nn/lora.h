// LoRA files: what low-rank fine-tuning has learnt, to be added to the model that it was learnt on.
//
// For each adapted weight PREFIX.weight [out, in] a file has two tensors, as those of RWKV-PEFT:
//   PREFIX.lora_A [rank, in]     PREFIX.lora_B [out, rank]     W becomes W + scale B A, scale = alpha / rank
// A safetensors file of ours says in its metadata
//   linnet_lora   version of this format, 1
//   rank, alpha
//   architecture, weights (Fingerprint)    of the model that it belongs to
// A .pth of RWKV-PEFT says none of these; alpha / rank has then to be told.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "nn/model.h"
#include "ops/adapters.h"

namespace linnet {

/// PREFIX.weight -> PREFIX.lora_A and PREFIX.lora_B.
std::string LoraNameA(const std::string& weight);
std::string LoraNameB(const std::string& weight);

/// The metadata of a LoRA file for `model`.
std::map<std::string, std::string> LoraMetadata(const LoadedModel& model, int64_t rank, double alpha);

/// A LoRA as it is in its file.
struct Lora {
  struct Factors {
    std::string weight;  // PREFIX.weight
    Tensor a, b;         // f32
  };
  std::string path, architecture, fingerprint;  // the last two empty where the file does not say
  std::optional<double> scale;                  // alpha / rank; none where the file does not say
  std::vector<Factors> factors;
};

/// Throws Error, naming the file, if it is no LoRA.
Lora ReadLora(const std::filesystem::path& path);

/// A LoRA that a user asks for: FILE, or FILE:FACTOR to have its scale multiplied (0.5: half of it). Where
/// the file has none, FACTOR is the scale.
struct LoraChoice {
  std::string file;
  std::optional<double> factor;

  /// Throws Error if FACTOR is no number.
  static LoraChoice Parse(const std::string& text);
};

/// The adapters of some LoRAs to `model`, and what the user should know about it.
struct ReadLorasResult {
  std::shared_ptr<Adapters> adapters;
  std::string warning;  // empty, or one line: a LoRA was made for other weights
};
/// Throws Error, naming file and weight, if a LoRA adapts what the model has not.
ReadLorasResult ReadLoras(const std::vector<LoraChoice>& loras, const LoadedModel& model);

/// Whether a parameter can have an adapter: the matrices that blocks multiply with, hence neither tables that
/// rows are looked up in (emb, s_emb) nor the head.
bool IsAdaptable(const Parameter& parameter);

/// Makes `model` compute with adapters from now on.
void Adapt(LoadedModel& model, std::shared_ptr<const Adapters> adapters);

/// W + the sum of scale B A, as f32.
Tensor Folded(const Tensor& weight, std::span<const Adapter> adapters);

}  // namespace linnet
