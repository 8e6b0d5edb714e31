#include "serve/variants.h"

#include <fmt/format.h>

#include "nn/lora.h"
#include "serve/http.h"

namespace linnet {
namespace {

struct Named {
  std::string name, file;
};

Named Parse(const std::string& text, const char* flag) {
  const size_t equals = text.find('=');
  Check(equals != std::string::npos && equals > 0 && equals + 1 < text.size(),
        "{} {}: has the form NAME=FILE, NAME being what requests call it", flag, text);
  return {text.substr(0, equals), text.substr(equals + 1)};
}

template <class Map>
std::vector<std::string> Names(const Map& map) {
  std::vector<std::string> names;
  for (const auto& [name, value] : map) names.push_back(name);
  return names;
}

template <class Map>
typename Map::mapped_type Find(const Map& map, const std::string& name, const char* field, const char* what) {
  if (name.empty()) return nullptr;
  const auto found = map.find(name);
  if (found != map.end()) return found->second;
  std::string known;
  for (const std::string& other : Names(map)) known += (known.empty() ? "" : ", ") + other;
  throw HttpError(
      400, fmt::format("there is no {} '{}'; this server has {}", what, name, known.empty() ? "none" : known),
      field, "not_found");
}

}  // namespace

Variants::Variants(const LoadedModel& model, const Tokenizer& tokenizer,
                   const std::vector<std::string>& loras, const std::vector<std::string>& states) {
  const auto warn = [&](const std::string& warning) {
    if (!warning.empty()) warnings_.push_back(warning);
  };
  for (const std::string& text : loras) {
    const Named named = Parse(text, "--lora");
    Check(!loras_.contains(named.name), "--lora {}: there is another LoRA of that name", text);
    ReadLorasResult read = ReadLoras({LoraChoice::Parse(named.file)}, model);
    warn(read.warning);
    loras_[named.name] = std::move(read.adapters);
  }
  for (const std::string& text : states) {
    const Named named = Parse(text, "--state");
    Check(!states_.contains(named.name), "--state {}: there is another state of that name", text);
    ReadSnapshotResult read = ReadSnapshot(named.file, model, tokenizer.name());
    warn(read.warning);
    states_[named.name] = std::make_shared<const Snapshot>(std::move(read.snapshot));
  }
}

Variant Variants::Of(const std::string& lora, const std::string& state) const {
  return {lora, state, Find(loras_, lora, "lora", "LoRA"), Find(states_, state, "state", "state")};
}

std::vector<std::string> Variants::lora_names() const { return Names(loras_); }
std::vector<std::string> Variants::state_names() const { return Names(states_); }

}  // namespace linnet
