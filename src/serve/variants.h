// Variants: the LoRAs and tuned states that a server was started with, by the names that requests call them:
// "lora" and "state". Each is loaded once and shared by all its users.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "serve/engine.h"

namespace linnet {

class Variants {
 public:
  /// `loras`: NAME=FILE or NAME=FILE:FACTOR (nn/lora.h); `states`: NAME=FILE (nn/state_file.h); `model` must
  /// outlive this. Throws Error, naming the flag or the file, for what cannot be read or is named twice.
  Variants(const LoadedModel& model, const Tokenizer& tokenizer, const std::vector<std::string>& loras,
           const std::vector<std::string>& states);

  /// "" for none. Throws HttpError 400, listing the known ones, if there is none of that name.
  Variant Of(const std::string& lora, const std::string& state) const;

  std::vector<std::string> lora_names() const;
  std::vector<std::string> state_names() const;
  /// What the user should know: files that were made for other weights.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::map<std::string, std::shared_ptr<const Adapters>> loras_;
  std::map<std::string, std::shared_ptr<const Snapshot>> states_;
  std::vector<std::string> warnings_;
};

}  // namespace linnet
