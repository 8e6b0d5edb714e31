#include "serve/prompts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "serve/http.h"

namespace linnet {
namespace {

constexpr size_t kMostPrompts = 2048;

class PromptReader {
 public:
  PromptReader(const Fields& fields, const char* name, const Served& served)
      : fields_(fields), name_(name), tokenizer_(*served.tokenizer) {}

  std::vector<int> Tokens(const Json& list) const {
    std::vector<int> tokens;
    for (const Json& item : list) {
      const bool known = item.is_number_integer() && item >= 0 && item < tokenizer_.vocab();
      if (!known)
        fields_.Refuse(name_, fmt::format("has {} among its tokens; they are 0 to {}", Shown(item),
                                          tokenizer_.vocab() - 1));
      tokens.push_back(item.get<int>());
    }
    return tokens;
  }
  std::vector<int> One(const Json& item) const {
    if (item.is_string()) return tokenizer_.Encode(item.get_ref<const std::string&>());
    if (!item.is_array())
      fields_.Refuse(name_, "must be a string, a list of strings, of tokens, or of lists of tokens");
    return Tokens(item);
  }

 private:
  static std::string Shown(const Json& item) {
    return item.is_primitive() ? item.dump(-1, ' ', true, Json::error_handler_t::replace)
                               : "a list or an object";
  }

  const Fields& fields_;
  const char* name_;
  const Tokenizer& tokenizer_;
};

}  // namespace

std::vector<std::vector<int>> ReadPrompts(const Fields& fields, const char* name, const Served& served) {
  const Json* value = fields.Find(name);
  if (value == nullptr) fields.Refuse(name, "is missing");
  const PromptReader reader(fields, name, served);
  std::vector<std::vector<int>> prompts;
  const auto is_list_or_text = [](const Json& item) { return item.is_string() || item.is_array(); };
  if (value->is_array() && !value->empty() && std::ranges::all_of(*value, is_list_or_text)) {
    if (value->size() > kMostPrompts)
      fields.Refuse(name, fmt::format("has {} texts; {} are allowed", value->size(), kMostPrompts));
    for (const Json& item : *value) prompts.push_back(reader.One(item));
  } else {
    prompts.push_back(reader.One(*value));
  }
  for (const std::vector<int>& prompt : prompts) CheckPromptLength(prompt.size(), served, name);
  return prompts;
}

}  // namespace linnet
