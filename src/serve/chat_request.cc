#include "serve/chat_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "base/sha256.h"
#include "infer/sampler_settings.h"
#include "serve/answer_stream.h"
#include "serve/constraints.h"
#include "serve/http.h"
#include "serve/tools.h"
#include "text/utf8.h"

namespace linnet {
namespace {

constexpr int kMostChoices = 16, kMostTopLogprobs = 20;
constexpr size_t kMostStops = 16;
constexpr int kKeyDigits = 32;

std::string KeyAfter(const std::string& key, std::string_view text) {
  return Sha256Hex(key + std::string(text), kKeyDigits);
}

std::string_view WithoutBlanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

/// A user's or a system's text as models saw them in training.
std::string Cleaned(const ChatTemplate& chat, std::string_view text) {
  return chat.clean ? CleanMessage(text) : std::string(text);
}

std::string ValidUtf8(std::string_view bytes) {
  Utf8Stream stream(Utf8Stream::Mode::kValid);
  const std::string valid = stream.Push(bytes);
  return valid + stream.Finish();
}

/// An answer as it stands after the assistant's name. Empty lines stay where they do not end an answer.
std::string AnswerText(const ChatTemplate& chat, std::string_view answer) {
  if (!chat.clean) return std::string(answer);
  const bool one_paragraph = std::ranges::find(chat.stops, "\n\n") != std::end(chat.stops);
  const std::string text = one_paragraph ? CleanMessage(answer) : std::string(WithoutBlanks(answer));
  return (chat.assistant.ends_with(':') && !text.empty() ? " " : "") + text;
}

/// Writes segment after segment.
class Writer {
 public:
  Writer(const ChatTemplate& chat, const Tokenizer& tokenizer, const std::string& key_before)
      : chat_(chat), tokenizer_(tokenizer), first_(key_before.empty()) {
    written_.key = first_ ? KeyAfter("", "linnet conversation") : key_before;
  }

  bool first() const { return first_; }
  void Opening(const std::optional<std::string>& system) {
    text_ = ChatOpening(chat_, system);
    first_ = text_.empty();
    EndSegment();
    AddMark();
  }
  void System(std::string_view text) {
    text_ += Separator() + std::string(chat_.system) + Cleaned(chat_, text);
  }
  void User(std::string_view text) { text_ += Separator() + std::string(chat_.user) + Cleaned(chat_, text); }
  /// A message of the user's, and the beginning of its answer.
  void Ask(std::string_view text, const ThinkForm& think) {
    text_ += ChatPrompt(chat_, text, think, std::exchange(first_, false));
    EndSegment();
  }
  /// The beginning of an answer to nothing that the user said.
  void Begin() {
    text_ += Separator() + std::string(WithoutBlanks(chat_.assistant));
    EndSegment();
  }
  void Answer(std::string_view answer) {
    text_ = AnswerText(chat_, answer);
    EndSegment();
    AddMark();
  }
  WrittenConversation Finish(std::string_view begun) {
    const std::string key = written_.key;
    written_.begun = AnswerText(chat_, begun);
    text_ = written_.begun;
    EndSegment();
    const size_t count = written_.tokens.size();
    if (count > 0) AddMarkAt(count - 1, KeyAfter(written_.key, " but for a token"));
    written_.key = key;
    return std::move(written_);
  }

 private:
  std::string Separator() { return std::string(std::exchange(first_, false) ? "" : chat_.end); }
  void EndSegment() {
    if (text_.empty()) return;
    const std::vector<int> tokens = tokenizer_.Encode(text_);
    written_.tokens.insert(written_.tokens.end(), tokens.begin(), tokens.end());
    written_.key = KeyAfter(written_.key, text_);
    text_.clear();
  }
  void AddMark() { AddMarkAt(written_.tokens.size(), written_.key); }
  void AddMarkAt(size_t tokens, const std::string& key) {
    const size_t last = written_.marks.empty() ? 0 : written_.marks.back().tokens;
    if (tokens > last) written_.marks.push_back({tokens, key});
  }

  const ChatTemplate& chat_;
  const Tokenizer& tokenizer_;
  bool first_;        // no text comes before what is written next
  std::string text_;  // of the segment
  WrittenConversation written_;
};

/// The text of a message's content: a string, or parts of type text.
std::string ContentText(const Json& content, const std::string& where) {
  if (content.is_null()) return "";
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array())
    throw HttpError(400, fmt::format("'{}' must be a string or a list of parts", where), where);
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string part = fmt::format("{}[{}].", where, i);
    const Fields fields(content[i], part);
    const std::string type = fields.String("type").value_or("");
    if (type != "text" && type != "input_text" && type != "output_text")
      fields.Refuse("type", fmt::format("is '{}', but this server reads only text", type));
    text += fields.String("text").value_or("");
  }
  return text;
}

ChatMessage::Role RoleOf(const Fields& fields) {
  const std::string role = fields.String("role").value_or("");
  if (role == "system" || role == "developer") return ChatMessage::Role::kSystem;
  if (role == "user") return ChatMessage::Role::kUser;
  if (role == "assistant") return ChatMessage::Role::kAssistant;
  fields.Refuse("role", fmt::format("must be system, developer, user, assistant or tool, not '{}'", role));
}

/// Whether messages have to do with tools.
bool UsesTools(const Json& request) {
  const auto is_one = [](const Json& message) {
    return message.is_object() && (message.contains("tool_calls") || message.value("role", Json()) == "tool");
  };
  const Fields fields(request);
  const Json* tools = fields.Find("tools");
  if (tools != nullptr && !tools->empty()) return true;
  const Json* messages = fields.Find("messages");
  return messages != nullptr && messages->is_array() && std::ranges::any_of(*messages, is_one);
}

void ReadBias(const Fields& fields, const Served& served, SamplerOptions& sampler) {
  const Json* biases = fields.Find("logit_bias");
  if (biases == nullptr) return;
  const Fields entries(*biases, "logit_bias.");
  for (const auto& [name, value] : biases->items()) {
    int token = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), token);
    const bool known = error == std::errc() && end == name.data() + name.size() && token >= 0 &&
                       token < served.tokenizer->vocab();
    if (!known)
      entries.Refuse(name, fmt::format("is no token: they are 0 to {}", served.tokenizer->vocab() - 1));
    sampler.bias[token] = static_cast<float>(entries.Number(name.c_str(), -100, 100).value_or(0));
  }
}

void ReadMaxTokens(const Fields& fields, const Served& served, Job& job) {
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    job.max_tokens = fields.Integer(name, 0, served.max_tokens).value_or(job.max_tokens);
  }
  job.max_tokens = std::min(job.max_tokens, served.max_tokens);
}

void RefuseUnsupported(const Fields& fields) {
  fields.RefuseAll({"functions", "function_call", "audio", "prediction", "web_search_options", "verbosity"});
  if (fields.Bool("store").value_or(false)) fields.Refuse("store", "is not supported by this server");
  for (const std::string& modality : fields.Strings("modalities", 8)) {
    if (modality != "text") fields.Refuse("modalities", "can only be text on this server");
  }
}

}  // namespace

void CheckModel(const Fields& fields, const Served& served) {
  constexpr std::string_view kLatest = ":latest";
  std::string name = fields.String("model").value_or(served.name);
  if (name.ends_with(kLatest)) name.resize(name.size() - kLatest.size());
  if (name != served.name)
    throw HttpError(404, fmt::format("the model '{}' is not here; this server has '{}'", name, served.name),
                    "model", "model_not_found");
}

std::vector<ChatMessage> ReadMessages(const Json& messages, const std::string& where) {
  if (!messages.is_array() || messages.empty())
    throw HttpError(400, fmt::format("'{}' must be a list of at least one message", where), where);
  std::vector<ChatMessage> read;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string name = fmt::format("{}[{}].", where, i);
    const Fields fields(messages[i], name);
    const ChatMessage::Role role = RoleOf(fields);
    const Json* content = fields.Find("content");
    if (content == nullptr && role != ChatMessage::Role::kAssistant) fields.Refuse("content", "is missing");
    read.push_back({role, content == nullptr ? "" : ContentText(*content, name + "content")});
  }
  return read;
}

WrittenConversation WriteConversation(const std::vector<ChatMessage>& messages, const ChatTemplate& chat,
                                      const ThinkForm& think, const Tokenizer& tokenizer,
                                      const std::string& key_before) {
  using Role = ChatMessage::Role;
  Writer writer(chat, tokenizer, key_before);
  size_t i = 0;
  if (writer.first()) {
    std::optional<std::string> system;
    for (; i < messages.size() && messages[i].role == Role::kSystem; ++i)
      system = system ? *system + "\n" + messages[i].text : messages[i].text;
    writer.Opening(system);
  }
  bool asked = false;  // the user, last, and the answer is begun
  for (; i < messages.size(); ++i) {
    const auto& [role, text] = messages[i];
    const bool last = i + 1 == messages.size();
    if (role == Role::kAssistant) {
      if (!asked) writer.Begin();
      if (last) return writer.Finish(text);
      writer.Answer(text);
      asked = false;
    } else if (role == Role::kUser && (last || messages[i + 1].role == Role::kAssistant)) {
      writer.Ask(text, last ? think : FindThinkForm("off"));
      asked = true;
    } else if (role == Role::kUser) {
      writer.User(text);
    } else {
      writer.System(text);
    }
  }
  if (!asked) writer.Begin();
  return writer.Finish("");
}

std::string KeyAfterAnswer(const std::string& key, const ChatTemplate& chat, std::string_view answer) {
  const std::string text = AnswerText(chat, ValidUtf8(answer));  // as the client has it
  return text.empty() ? key : KeyAfter(key, text);
}

void SetConversation(Job& job, WrittenConversation conversation, const ChatTemplate& chat,
                     const ThinkForm& think) {
  job.prompt = std::move(conversation.tokens);
  job.marks = std::move(conversation.marks);
  for (std::string& stop : ChatStops(chat)) job.stops.push_back(std::move(stop));
  if (!think.after_message.empty() || !think.before_answer.empty()) return;
  job.key_after = [&chat, key = conversation.key, begun = conversation.begun](const std::string& answer) {
    return KeyAfterAnswer(key, chat, begun + answer);
  };
}

void SetPrompt(Job& job, std::vector<int> tokens) {
  job.prompt = std::move(tokens);
  if (job.prompt.size() < 2) return;
  const std::string_view bytes(reinterpret_cast<const char*>(job.prompt.data()),
                               (job.prompt.size() - 1) * sizeof(int));
  job.marks = {{job.prompt.size() - 1, KeyAfter("linnet tokens", bytes)}};
}

void ReadSampling(const Fields& fields, const Served& served, Job& job) {
  for (const SamplerSetting& setting : SamplerSettings()) {
    std::string name = setting.name;
    std::ranges::replace(name, '-', '_');
    const auto read = [&](auto member) {
      using Value = std::remove_reference_t<decltype(job.sampler.*member)>;
      const auto value = fields.Number(name.c_str(), setting.lowest, setting.highest);
      if (!value) return;
      job.sampler.*member = static_cast<Value>(*value);
      if (job.sampler.*member != *value) fields.Refuse(name, "must be a whole number");
    };
    std::visit(read, setting.member);
  }
  job.sampler.exact_top_p = fields.Bool("exact_top_p").value_or(job.sampler.exact_top_p);
  ReadBias(fields, served, job.sampler);
  ReadMaxTokens(fields, served, job);
  constexpr auto kLowest = std::numeric_limits<int64_t>::min(),
                 kHighest = std::numeric_limits<int64_t>::max();
  const auto seed = fields.Integer("seed", kLowest, kHighest);
  job.seed = seed ? static_cast<uint64_t>(*seed) : std::random_device{}();
  for (std::string& stop : fields.Strings("stop", kMostStops)) job.stops.push_back(std::move(stop));
  job.past_end = fields.Bool("ignore_eos").value_or(false);
  const std::string lora = fields.String("lora").value_or(""), state = fields.String("state").value_or("");
  if (lora.empty() && state.empty()) return;
  if (!served.variant_of) fields.RefuseAll({"lora", "state"});
  job.variant = served.variant_of(lora, state);
}

void ReadTopLogprobs(const Fields& fields, Job& job) {
  const bool wanted = fields.Bool("logprobs").value_or(false);
  const auto top = fields.Integer("top_logprobs", 0, kMostTopLogprobs);
  if (top && !wanted) fields.Refuse("top_logprobs", "needs logprobs to be true");
  if (wanted) job.top_logprobs = static_cast<int>(top.value_or(0));
}

const ThinkForm& ReadThink(const Fields& fields, const Served& served) {
  static constexpr std::pair<std::string_view, std::string_view> kForms[] = {
      {"none", "off"}, {"minimal", "fast"}, {"low", "short"}, {"medium", "medium"}, {"high", "long"}};
  const auto effort = fields.String("reasoning_effort");
  if (!effort) return *served.think;
  for (const auto& [name, form] : kForms) {
    if (*effort != name) continue;
    const ThinkForm& think = FindThinkForm(form);
    if (!think.before_answer.empty() && !served.chat->thinks)
      fields.Refuse("reasoning_effort", "can only be none, as this model was not trained to think");
    return think;
  }
  fields.Refuse("reasoning_effort", "must be none, minimal, low, medium or high");
}

Job NextChoice(const Job& job) {
  Job next;
  next.shared = job.shared;
  next.client = job.client;
  next.prompt = job.prompt;
  next.marks = job.marks;
  next.variant = job.variant;
  next.start = job.start;
  next.max_tokens = job.max_tokens;
  next.sampler = job.sampler;
  next.seed = job.seed + 1;
  next.stops = job.stops;
  next.past_end = job.past_end;
  if (job.constraint) next.constraint = job.constraint->Clone();
  next.top_logprobs = job.top_logprobs;
  next.prompt_logprobs = job.prompt_logprobs;
  next.embed = job.embed;
  next.keep_place = job.keep_place;
  next.key_after = job.key_after;
  next.closes = job.closes;
  return next;
}

ChatRequest ReadChatRequest(const Json& request, const Served& served, const std::string& client) {
  const Fields fields(request);
  CheckModel(fields, served);
  RefuseUnsupported(fields);
  ChatRequest chat;
  Job& job = chat.job;
  job.client = client;
  job.max_tokens = kAnswerTokens;
  job.sampler = served.chat_sampler;
  ReadSampling(fields, served, job);
  ReadTopLogprobs(fields, job);
  chat.think = &ReadThink(fields, served);
  chat.choices = static_cast<int>(fields.Integer("n", 1, kMostChoices).value_or(1));
  chat.stream = fields.Bool("stream").value_or(false);
  if (const Json* options = fields.Find("stream_options"))
    chat.include_usage = Fields(*options, "stream_options.").Bool("include_usage").value_or(false);
  chat.tools = UsesTools(request);
  if (fields.Find("messages") == nullptr) fields.Refuse("messages", "is missing");
  const std::vector<ChatMessage> messages =
      ReadMessages(chat.tools ? WithoutTools(request, *served.chat) : request.at("messages"));
  WrittenConversation written = WriteConversation(messages, *served.chat, *chat.think, *served.tokenizer);
  chat.goes_on = !written.begun.empty();
  SetConversation(job, std::move(written), *served.chat, *chat.think);
  CheckPromptLength(job.prompt.size(), served, "messages");
  job.constraint = ConstraintOf(request, *served.tokenizer, chat.goes_on ? "" : chat.think->before_answer);
  const bool several_calls = fields.Bool("parallel_tool_calls").value_or(true);
  if (chat.tools && !several_calls) job.closes = FirstCallEnd(AnswerStream(chat, *served.chat));
  return chat;
}

void CheckPromptLength(size_t tokens, const Served& served, const std::string& field) {
  if (static_cast<int64_t>(tokens) <= served.max_prompt_tokens) return;
  throw HttpError(400,
                  fmt::format("'{}' has {} tokens; this server reads at most {} at once", field, tokens,
                              served.max_prompt_tokens),
                  field, "context_length_exceeded");
}

}  // namespace linnet
