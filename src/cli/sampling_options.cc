#include "cli/sampling_options.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <random>
#include <variant>

#include "base/check.h"
#include "infer/sampler_settings.h"

namespace linnet {
namespace {

constexpr float kBanned = -std::numeric_limits<float>::infinity();

template <class T>
T Number(const std::string& text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  Check(error == std::errc() && end == text.data() + text.size(),
        "'{}' is not a number that can be used here", text);
  return value;
}

/// Splits TOKEN=NUMBER at the last '='.
std::pair<std::string, float> SplitBias(const std::string& text) {
  const size_t at = text.rfind('=');
  Check(at != std::string::npos && at > 0, "a bias is written as TOKEN=NUMBER, not '{}'", text);
  return {text.substr(0, at), Number<float>(text.substr(at + 1))};
}

}  // namespace

void SamplingOptions::AddTo(CLI::App& command) {
  for (const SamplerSetting& setting : SamplerSettings()) {
    std::visit(
        [&](auto member) {
          command.add_option(fmt::format("--{}", setting.name), sampler.*member, setting.help)
              ->check(CLI::Range(setting.lowest, setting.highest))
              ->capture_default_str()
              ->group("Sampling");
        },
        setting.member);
  }
  const auto list = [&](const char* name, auto& values, const char* type, const char* help) {
    command.add_option(name, values, help)->type_name(type)->take_all()->expected(1)->group("Sampling");
  };
  command
      .add_flag("--exact-top-p", sampler.exact_top_p,
                "Weigh the last tokens that top-p lets in so that all of them have exactly that share")
      ->group("Sampling");
  list("--ban", bans_, "ID", "Never draw this token; may be given several times, like those below");
  list("--ban-text", text_bans_, "TEXT", "Never draw a token whose text has TEXT in it");
  list("--bias", biases_, "ID=NUMBER", "Add this to the logit of a token");
  list("--bias-text", text_biases_, "TEXT=NUMBER", "Add this to the logit of the token that is TEXT");
  seed_given_ = command.add_option("--seed", seed, "The same seed gives the same text; random if not given")
                    ->group("Sampling");
}

SamplerOptions SamplingOptions::Resolve(const Tokenizer& tokenizer) const {
  SamplerOptions options = sampler;
  const auto add = [&](int token, float bias) {
    Check(token >= 0 && token < tokenizer.vocab(), "there is no token {} to ban or favour; ids are 0 to {}",
          token, tokenizer.vocab() - 1);
    options.bias[token] += bias;
  };
  for (const int token : bans_) add(token, kBanned);
  for (const std::string& text : text_bans_) {
    const std::vector<int> tokens = TokensOf(tokenizer, text, /*anywhere=*/true);
    Check(!text.empty() && !tokens.empty(), "no token has '{}' in it, so it cannot be banned", text);
    for (const int token : tokens) add(token, kBanned);
  }
  for (const std::string& bias : biases_) {
    const auto [token, value] = SplitBias(bias);
    add(Number<int>(token), value);
  }
  for (const std::string& bias : text_biases_) {
    const auto [text, value] = SplitBias(bias);
    const std::vector<int> tokens = TokensOf(tokenizer, text, /*anywhere=*/false);
    Check(!tokens.empty(), "'{}' is not one token, so it cannot have a bias", text);
    for (const int token : tokens) add(token, value);
  }
  options.Validate();
  return options;
}

std::optional<uint64_t> SamplingOptions::given_seed() const {
  return *seed_given_ ? std::optional(seed) : std::nullopt;
}

void SamplingOptions::ChooseSeed() {
  if (!*seed_given_) seed = std::random_device{}();
}

void SetSampling(SamplerOptions& options, const std::string& name, const std::string& value) {
  for (const SamplerSetting& setting : SamplerSettings()) {
    if (setting.name != name) continue;
    SamplerOptions changed = options;
    std::visit(
        [&](auto member) {
          using Value = std::remove_reference_t<decltype(changed.*member)>;
          const double number = Number<double>(value);
          Check(number >= setting.lowest && number <= setting.highest, "{} must lie between {} and {}", name,
                setting.lowest, setting.highest);
          changed.*member = static_cast<Value>(number);
        },
        setting.member);
    changed.Validate();
    options = changed;
    return;
  }
  Fail("there is no setting '{}'", name);
}

std::vector<std::pair<std::string, std::string>> SamplingSettings(const SamplerOptions& options) {
  std::vector<std::pair<std::string, std::string>> settings;
  for (const SamplerSetting& setting : SamplerSettings()) {
    std::visit([&](auto member) { settings.emplace_back(setting.name, fmt::format("{}", options.*member)); },
               setting.member);
  }
  return settings;
}

}  // namespace linnet
