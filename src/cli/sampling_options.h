// The flags of sampling, for every command that draws tokens; the chat changes the same settings by the same
// names while it runs.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "infer/sampler.h"
#include "text/tokenizer.h"

namespace linnet {

/// What --temperature and so on say.
struct SamplingOptions {
  SamplerOptions sampler;
  uint64_t seed = 0;

  /// Adds the flags; the values of `sampler` at this moment are their defaults.
  void AddTo(CLI::App& command);
  /// The sampler's options with the tokens to ban and to favour looked up. Throws Error if a text is no token
  /// or a bias is not written as TOKEN=NUMBER.
  SamplerOptions Resolve(const Tokenizer& tokenizer) const;
  /// What --seed says, if it is there.
  std::optional<uint64_t> given_seed() const;
  /// Takes a random seed if none was given.
  void ChooseSeed();

 private:
  std::vector<int> bans_;
  std::vector<std::string> text_bans_, biases_, text_biases_;
  CLI::Option* seed_given_ = nullptr;
};

/// Sets one of the numbers by the name of its flag without the dashes: "top-p". Throws Error, and leaves the
/// options as they were, if there is no such setting or the value makes no sense.
void SetSampling(SamplerOptions& options, const std::string& name, const std::string& value);
/// All settings: {"top-p", "0.85"}, in the order of --help.
std::vector<std::pair<std::string, std::string>> SamplingSettings(const SamplerOptions& options);

}  // namespace linnet
