// State files: what a recurrent network remembers, kept on disk to be continued later.
//
// A state file is a safetensors file. Its tensors are the state variables under their names
// ("blocks.0.att.wkv", float32), and "logits" [V], which follow the last token. Its metadata say what the
// state belongs to:
//   linnet_state  version of this format, 1
//   architecture, sizes (JSON), tokenizer    of the model
//   weights       fingerprint of the model: names and shapes of all parameters, values of the vectors
//   tokens        how many tokens the state has seen
// The state has seen every token of the text: the next to be fed is the first of what follows.
//
// Also read: the tuned states of RWKV-LM and RWKV-PEFT, files that hold blocks.N.att.time_state [H, value,
// key] alone, the wkv states that a sequence begins with.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "nn/model.h"

namespace linnet {

/// Where a sequence stands: all that is needed to go on.
struct Snapshot {
  std::vector<Tensor> variables;  // as State::Save gives them
  Tensor logits;                  // [V], after the last token; empty where not known
  int64_t tokens = 0;             // seen so far
};

/// Writes a snapshot of `model`. `tokenizer` is its tokenizer's name. `notes` are metadata beside those
/// above.
void WriteSnapshot(const std::filesystem::path& path, const LoadedModel& model, const std::string& tokenizer,
                   const Snapshot& snapshot, const std::map<std::string, std::string>& notes = {});

/// A snapshot from a file, and what the user should know about it.
struct ReadSnapshotResult {
  Snapshot snapshot;
  /// Empty, or one line: the state was made with other weights or another tokenizer and may mean little here.
  std::string warning;
};

/// Reads a state, or a tuned state (which has seen no token), for `model`. Throws Error, naming the file and
/// what differs, unless architecture, sizes and variables are the model's.
ReadSnapshotResult ReadSnapshot(const std::filesystem::path& path, const LoadedModel& model,
                                const std::string& tokenizer);

/// A state file as it is, without its model.
struct StateFile {
  std::string architecture, sizes, weights, tokenizer;  // metadata; all empty for a tuned state
  int64_t tokens = 0;
  std::map<std::string, Tensor> variables;   // float32
  Tensor logits;                             // empty if there are none
  std::map<std::string, std::string> notes;  // other metadata

  bool tuned() const { return architecture.empty(); }
};

/// Throws Error, naming the file, if it is none.
StateFile ReadStateFile(const std::filesystem::path& path);
/// Writes safetensors or, for a tuned state whose name ends in .pth, what torch.save would.
void WriteStateFile(const std::filesystem::path& path, const StateFile& file);

/// Throws Error unless two states belong to the same architecture and sizes and have the same variables.
/// `first` and `second` are what messages call them.
void CheckAlike(const StateFile& a, const StateFile& b, const std::string& first, const std::string& second);

/// The sum of weights[i] / (sum of weights) times the variables of files[i], which must be alike. It has seen
/// as many tokens as the longest of them, and its logits are not known. Throws Error if a variable of one
/// number, which counts something, is not the same in all.
StateFile Average(std::span<const StateFile> files, std::span<const double> weights);

/// 16 hexadecimal digits that tell models apart: from names and shapes of all parameters and the values of
/// the vectors. Matrices do not count, so that a model keeps its fingerprint when they are rounded or
/// quantised.
std::string Fingerprint(const LoadedModel& model);

}  // namespace linnet
