// Fine-tuning beside a model that stays as it is, in any type, in its file: what is trained is small and
// becomes a file of its own.
//
//   --lora RANK     adapters of low rank (nn/lora.h). A begins uniform within 1 / sqrt(in), B at zero. With
//                   --pissa they begin as the weight's principal part instead (arXiv:2404.02948), and the
//                   weight loses it:
//                       x W^T + scale ((x A^T) B^T - (x A0^T) B0^T)
//                   so W itself is never changed. The file holds [A; A0] and [B, -B0], a LoRA of twice the
//                   rank for the original model.
//                   --lora-dropout p drops some of the x before A in training (ops/adapter_dropout.h), but
//                   not with --pissa, where A holds what the model itself needs.
//   --tune state    the states that sequences begin with, blocks.N.att.time_state [H, value, key]
//                   (nn/state_file.h)
#pragma once

#include "train/weights.h"

namespace linnet {

/// Whether what is trained is beside the model.
bool TrainsBesideModel(const TrainOptions& options);

/// The model in --init, frozen, with what is trained beside it: new, or as a checkpoint `saved` it. Throws
/// Error, naming what differs, if the checkpoint belongs to another model, and if a pattern of --lora-targets
/// names no weight that can have an adapter.
TrainableModel StartTuning(const TrainOptions& options, const std::filesystem::path& saved);

/// The same beside a model in memory that stands for the one in --init: to measure with.
TrainableModel StartTuningBeside(const TrainOptions& options, LoadedModel model);

/// How a file holds a factor of PiSSA that began as `beginning`.
Tensor WithBeginning(const std::string& name, const Tensor& value, const Tensor& beginning);

/// Throws Error, naming the flags, if those of fine-tuning do not go together.
void CheckTuningOptions(const TrainOptions& options);

}  // namespace linnet
