#include "serve/tokenizer_api.h"

#include <nlohmann/json.hpp>

#include "serve/fields.h"
#include "serve/openai_json.h"

namespace linnet {
namespace {

/// What the end of a text is called where it has to be written.
std::string EndOfTextName(const Tokenizer& tokenizer) {
  const std::string name = tokenizer.SpecialName(Tokenizer::kEndOfText);
  return name.empty() ? "<|endoftext|>" : name;
}

Json TokenizerJson(const Served& served) {
  const std::string end = EndOfTextName(*served.tokenizer);
  return {{"tokenizer_class", served.tokenizer->name()},
          {"vocab_size", served.tokenizer->vocab()},
          {"eos_token", end},
          {"bos_token", end},
          {"pad_token", end},
          {"chat_template", JinjaTemplate(*served.chat)}};
}

/// The name of the end of a text, alone, is its token; within a text it is text like any other, as the words
/// of a user are no orders.
Json Tokenize(const Json& body, const Served& served) {
  const Fields fields(body);
  const auto prompt = fields.String("prompt");
  if (!prompt) fields.Refuse("prompt", "must be a string");
  std::vector<int> tokens;
  if (*prompt == EndOfTextName(*served.tokenizer)) {
    tokens = {Tokenizer::kEndOfText};
  } else {
    if (fields.Bool("add_special_tokens").value_or(false)) tokens.push_back(Tokenizer::kEndOfText);
    const std::vector<int> text = served.tokenizer->Encode(*prompt);
    tokens.insert(tokens.end(), text.begin(), text.end());
  }
  return {{"tokens", tokens}, {"count", tokens.size()}, {"max_model_len", served.max_prompt_tokens}};
}

Json Detokenize(const Json& body, const Served& served) {
  const Fields fields(body);
  const Json* given = fields.Find("tokens");
  if (given == nullptr || !given->is_array()) fields.Refuse("tokens", "must be a list of tokens");
  std::string text;
  for (const Json& entry : *given) {
    if (!entry.is_number_integer() || entry < 0 || entry >= served.tokenizer->vocab())
      fields.Refuse("tokens", fmt::format("has {}; tokens are numbers from 0 to {}", entry.dump(),
                                          served.tokenizer->vocab() - 1));
    const int token = entry.get<int>();
    text += token == Tokenizer::kEndOfText ? EndOfTextName(*served.tokenizer)
                                           : served.tokenizer->Decode({&token, 1});
  }
  return {{"prompt", text}};
}

/// A text in Jinja.
std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c == '\n' ? "\\n" : std::string(1, c);
  }
  return quoted + "'";
}

}  // namespace

std::string JinjaTemplate(const ChatTemplate& chat) {
  const bool blank = chat.assistant.ends_with(':');
  const std::string separator = "{% if not loop.first %}{{ " + Quoted(chat.end) + " }}{% endif %}";
  const auto text = [](const std::string& before) { return "{{ " + before + " + message['content'] }}"; };
  return "{% for message in messages %}{% if message['role'] == 'assistant' %}" +
         text(Quoted(std::string(chat.assistant) + (blank ? " " : ""))) + "{% else %}" + separator +
         "{% if message['role'] == 'user' %}" + text(Quoted(chat.user)) + "{% else %}" +
         text(Quoted(chat.system)) + "{% endif %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ " +
         Quoted(chat.assistant) + " }}{% endif %}";
}

std::vector<HttpRoute> TokenizerRoutes(const Served& served) {
  using Reply = std::shared_ptr<HttpReply>;
  std::vector<HttpRoute> routes;
  AddApi(routes, "GET", "/tokenizer_info",
         [&](const HttpRequest&, const Reply& reply) { SendJson(*reply, TokenizerJson(served)); });
  using Make = Json (*)(const Json& body, const Served& served);
  const auto add = [&](const char* path, Make make) {
    AddApi(routes, "POST", path, [&served, make](const HttpRequest& request, const Reply& reply) {
      SendJson(*reply, make(ParseBody(request.body), served));
    });
  };
  add("/tokenize", Tokenize);
  add("/detokenize", Detokenize);
  return routes;
}

}  // namespace linnet
