// POST /api/chat and /api/generate: one object, or lines of them, the last of which has the figures.
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/sha256.h"
#include "serve/answer_stream.h"
#include "serve/constraints.h"
#include "serve/job_group.h"
#include "serve/ollama.h"
#include "serve/openai_json.h"
#include "serve/prompts.h"
#include "serve/tools.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kRawTokens = 4096;  // of a text whose request does not say

int64_t Nanoseconds(std::chrono::nanoseconds time) { return time.count(); }

/// The tokens of a text and of its answer: what the next request sends, and what its place is called.
std::vector<int> ContextAfter(std::vector<int> prompt, const std::string& answer,
                              const Tokenizer& tokenizer) {
  const std::vector<int> tokens = tokenizer.Encode(answer);
  prompt.insert(prompt.end(), tokens.begin(), tokens.end());
  return prompt;
}

std::string ContextKey(const std::vector<int>& context) {
  return Sha256Hex("linnet context" +
                   std::string(reinterpret_cast<const char*>(context.data()), context.size() * sizeof(int)));
}

std::vector<int> ReadContext(const Fields& fields, const Served& served) {
  const Json* context = fields.Find("context");
  if (context == nullptr || context->empty()) return {};
  std::vector<std::vector<int>> read;
  if (context->is_array() && context->front().is_number()) read = ReadPrompts(fields, "context", served);
  if (read.size() != 1) fields.Refuse("context", "must be the list of tokens that an earlier reply had");
  return std::move(read.front());
}

class OllamaReply : public JobGroup {
 public:
  /// `stream`: nothing for a text that is sent as the model writes it.
  OllamaReply(const Served& served, std::string model, bool chat, bool streams,
              std::optional<AnswerStream> stream, std::shared_ptr<HttpReply> reply)
      : JobGroup(std::move(reply)),
        tokenizer_(*served.tokenizer),
        model_(std::move(model)),
        chat_(chat),
        streams_(streams),
        stream_(std::move(stream)) {}

  /// The last line gets the tokens of `prompt` and of its answer, as "context".
  void GiveContext(std::vector<int> prompt) { context_ = std::move(prompt); }

  /// Answers without a model: nothing was asked.
  void SendLoaded(const char* reason) {
    Json line = Line({});
    line["done_reason"] = reason;
    line["done"] = true;
    SendJson(reply(), line);
  }

 protected:
  void OnText(size_t /*job*/, std::string_view text, const ScoredToken* score) override {
    if (score != nullptr) told_.logprobs.push_back(ChatLogprob(tokenizer_, *score));
    if (!context_.empty()) answer_ += text;
    Take(stream_ ? stream_->Push(text) : AnswerStream::Pieces{"", characters_.Push(text), {}});
  }

  void OnEnd(size_t /*job*/, const JobResult& result) override {
    Take(stream_ ? stream_->Finish() : AnswerStream::Pieces{"", characters_.Finish(), {}});
    TurnBrokenCallsToText();
    Json last = Line(std::exchange(told_, {}));
    last["done"] = true;
    last["done_reason"] = FinishReason(result.end);
    last["total_duration"] = Nanoseconds(Clock::now() - start_);
    last["load_duration"] = Nanoseconds(result.queued);
    last["prompt_eval_count"] = result.prompt_tokens;
    last["prompt_eval_duration"] = Nanoseconds(result.reading);
    last["eval_count"] = result.ids.size();
    last["eval_duration"] = Nanoseconds(result.writing);
    if (!context_.empty()) last["context"] = ContextAfter(context_, answer_, tokenizer_);
    if (!streams_) return SendJson(reply(), last);
    Write(last);
  }

  void OnAllEnded() override {
    if (streams_) reply().End();
  }

  void SendFailure(const HttpError& error) override {
    if (!begun_) return SendOllamaError(reply(), error);
    Write({{"error", error.what()}});
    reply().End();
  }

 private:
  /// What one line tells. Calls come whole here, as objects.
  struct Told {
    std::string reasoning, content;
    std::vector<ToolCall> calls;
    Json logprobs = Json::array();
  };

  void Take(const AnswerStream::Pieces& pieces) {
    told_.reasoning += pieces.reasoning;
    told_.content += pieces.content;
    Append(pieces.calls, told_.calls);
    const bool in_call = !told_.calls.empty() && !told_.calls.back().whole;
    if (!streams_ || pieces.empty() || in_call) return;
    TurnBrokenCallsToText();
    Write(Line(std::exchange(told_, {})));
  }

  void TurnBrokenCallsToText() {
    std::vector<ToolCall> whole;
    for (ToolCall& call : told_.calls) {
      if (call.whole && ParseText(call.arguments).is_object()) {
        whole.push_back(std::move(call));
      } else {
        const bool first = told_.content.empty() && !begun_;
        told_.content += (first ? "" : "\n") + AnswerWithCalls("", {call});
      }
    }
    told_.calls = std::move(whole);
  }

  Json Line(const Told& told) const {
    Json line = {{"model", model_}, {"created_at", Rfc3339(UnixTime())}};
    if (chat_) {
      Json message = {{"role", "assistant"}, {"content", told.content}};
      if (!told.reasoning.empty()) message["thinking"] = told.reasoning;
      for (const ToolCall& call : told.calls) {
        const Json function = {{"name", call.name}, {"arguments", ParseText(call.arguments)}};
        message["tool_calls"].push_back({{"function", function}});
      }
      line["message"] = std::move(message);
    } else {
      line["response"] = told.content;
      if (!told.reasoning.empty()) line["thinking"] = told.reasoning;
    }
    if (!told.logprobs.empty()) line["logprobs"] = told.logprobs;
    line["done"] = false;
    return line;
  }

  void Write(const Json& line) {
    if (!std::exchange(begun_, true))
      reply().Begin(200, "application/x-ndjson", {{"X-Accel-Buffering", "no"}});
    reply().Write(Dump(line) + "\n");
  }

  const Tokenizer& tokenizer_;
  std::string model_;
  bool chat_, streams_, begun_ = false;
  std::optional<AnswerStream> stream_;
  Utf8Stream characters_{Utf8Stream::Mode::kValid};
  Told told_;                 // what has not been written yet
  std::vector<int> context_;  // before the answer, if it is wanted
  std::string answer_;        // as the model writes it, if its context is wanted
  Clock::time_point start_ = Clock::now();
};

/// Whether a request only wants the model to be there, or gone; says so, and which.
const char* OnlyLoads(const Fields& fields) {
  const Json* keep = fields.Find("keep_alive");
  return keep != nullptr && (*keep == 0 || *keep == "0") ? "unload" : "load";
}

/// Puts a context before a job's conversation.
void GoOnFrom(const std::vector<int>& context, const Json& messages, const Served& served,
              ChatRequest& chat) {
  const std::string key = ContextKey(context);
  WrittenConversation written =
      WriteConversation(ReadMessages(messages), *served.chat, *chat.think, *served.tokenizer, key);
  for (Mark& mark : written.marks) mark.tokens += context.size();
  written.marks.insert(written.marks.begin(), {context.size(), key});
  written.tokens.insert(written.tokens.begin(), context.begin(), context.end());
  SetConversation(chat.job, std::move(written), *served.chat, *chat.think);
  CheckPromptLength(chat.job.prompt.size(), served, "context");
}

void Start(const Served& served, const Fields& fields, Json messages, bool is_chat,
           const HttpRequest& request, const Json& body, std::string model,
           const std::shared_ptr<HttpReply>& reply) {
  ChatRequest chat = ReadChatRequest(OllamaInOpenAiWords(body, messages, served), served, request.client);
  const bool streams = fields.Bool("stream").value_or(true);
  const auto answer = std::make_shared<OllamaReply>(served, std::move(model), is_chat, streams,
                                                    AnswerStream(chat, *served.chat), reply);
  if (!is_chat) {
    const std::vector<int> context = ReadContext(fields, served);
    if (!context.empty()) GoOnFrom(context, messages, served, chat);
    answer->GiveContext(chat.job.prompt);
    chat.job.key_after = [prompt = chat.job.prompt, &served](const std::string& text) {
      return ContextKey(ContextAfter(prompt, text, *served.tokenizer));
    };
  }
  std::vector<Job> jobs;
  jobs.push_back(std::move(chat.job));
  answer->Start(*served.engine, std::move(jobs));
}

/// A prompt as it is, without a template.
void StartRaw(const Served& served, const Fields& fields, const std::string& prompt,
              const HttpRequest& request, const Json& body, std::string model,
              const std::shared_ptr<HttpReply>& reply) {
  const Json words = OllamaInOpenAiWords(body, Json::array(), served);
  Json asked = words;
  asked.erase("messages");
  std::vector<Job> jobs(1);
  Job& job = jobs.front();
  job.client = request.client;
  job.max_tokens = kRawTokens;
  ReadSampling(Fields(asked), served, job);
  ReadTopLogprobs(Fields(asked), job);
  std::vector<int> tokens = served.tokenizer->Encode(prompt);
  CheckPromptLength(tokens.size(), served, "prompt");
  SetPrompt(job, std::move(tokens));
  job.constraint = ConstraintOf(asked, *served.tokenizer);
  const bool streams = fields.Bool("stream").value_or(true);
  const auto answer =
      std::make_shared<OllamaReply>(served, std::move(model), false, streams, std::nullopt, reply);
  answer->Start(*served.engine, std::move(jobs));
}

}  // namespace

void AnswerOllamaChat(const Served& served, const HttpRequest& request,
                      const std::shared_ptr<HttpReply>& reply) {
  const Json body = ParseBody(request.body);
  const Fields fields(body);
  const std::string model = CheckOllamaModel(fields, served);
  const Json* messages = fields.Find("messages");
  if (messages == nullptr || (messages->is_array() && messages->empty()))
    return std::make_shared<OllamaReply>(served, model, true, false, std::nullopt, reply)
        ->SendLoaded(OnlyLoads(fields));
  Start(served, fields, *messages, true, request, body, model, reply);
}

void AnswerOllamaGenerate(const Served& served, const HttpRequest& request,
                          const std::shared_ptr<HttpReply>& reply) {
  const Json body = ParseBody(request.body);
  const Fields fields(body);
  const std::string model = CheckOllamaModel(fields, served);
  for (const char* field : {"suffix", "images", "template"}) {
    const Json* value = fields.Find(field);
    if (value != nullptr && !value->empty() && *value != "")
      fields.Refuse(field, "is not supported by this server");
  }
  const std::string prompt = fields.String("prompt").value_or("");
  if (prompt.empty())
    return std::make_shared<OllamaReply>(served, model, false, false, std::nullopt, reply)
        ->SendLoaded(OnlyLoads(fields));
  const bool raw = fields.Bool("raw").value_or(false);
  for (const char* field : {"context", "system", "tools", "think"}) {
    const Json* value = fields.Find(field);
    if (raw && value != nullptr && !value->empty() && *value != "" && *value != false)
      fields.Refuse(field, "has no place in a raw prompt");
  }
  if (raw) return StartRaw(served, fields, prompt, request, body, model, reply);
  Json messages = Json::array();
  if (const auto system = fields.String("system"); system && !system->empty())
    messages.push_back({{"role", "system"}, {"content", *system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  Start(served, fields, std::move(messages), false, request, body, model, reply);
}

}  // namespace linnet
