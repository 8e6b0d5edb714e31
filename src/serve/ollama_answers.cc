// POST /api/chat and /api/generate: one object, or lines of them, the last of which has the figures.
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "serve/answer_stream.h"
#include "serve/constraints.h"
#include "serve/job_group.h"
#include "serve/ollama.h"
#include "serve/openai_json.h"
#include "serve/tools.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kRawTokens = 4096;  // of a text whose request does not say

int64_t Nanoseconds(std::chrono::nanoseconds time) { return time.count(); }

class OllamaReply : public JobGroup {
 public:
  /// `stream`: nothing for a text that is sent as the model writes it.
  OllamaReply(std::string model, bool chat, bool streams, std::optional<AnswerStream> stream,
              std::shared_ptr<HttpReply> reply)
      : JobGroup(std::move(reply)),
        model_(std::move(model)),
        chat_(chat),
        streams_(streams),
        stream_(std::move(stream)) {}

  /// Answers without a model: nothing was asked.
  void SendLoaded(const char* reason) {
    Json line = Line({});
    line["done_reason"] = reason;
    line["done"] = true;
    SendJson(reply(), line);
  }

 protected:
  void OnText(size_t /*job*/, std::string_view text, const ScoredToken* /*score*/) override {
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
      if (call.whole && Json::parse(call.arguments, nullptr, false).is_object()) {
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
        const Json function = {{"name", call.name}, {"arguments", Json::parse(call.arguments)}};
        message["tool_calls"].push_back({{"function", function}});
      }
      line["message"] = std::move(message);
    } else {
      line["response"] = told.content;
      if (!told.reasoning.empty()) line["thinking"] = told.reasoning;
    }
    line["done"] = false;
    return line;
  }

  void Write(const Json& line) {
    if (!std::exchange(begun_, true))
      reply().Begin(200, "application/x-ndjson", {{"X-Accel-Buffering", "no"}});
    reply().Write(Dump(line) + "\n");
  }

  std::string model_;
  bool chat_, streams_, begun_ = false;
  std::optional<AnswerStream> stream_;
  Utf8Stream characters_{Utf8Stream::Mode::kValid};
  Told told_;  // what has not been written yet
  Clock::time_point start_ = Clock::now();
};

/// Whether a request only wants the model to be there, or gone; says so, and which.
const char* OnlyLoads(const Fields& fields) {
  const Json* keep = fields.Find("keep_alive");
  return keep != nullptr && (*keep == 0 || *keep == "0") ? "unload" : "load";
}

void Start(const Served& served, const Fields& fields, Json messages, bool is_chat,
           const HttpRequest& request, const Json& body, std::string model,
           const std::shared_ptr<HttpReply>& reply) {
  ChatRequest chat =
      ReadChatRequest(OllamaInOpenAiWords(body, std::move(messages), served), served, request.client);
  const bool streams = fields.Bool("stream").value_or(true);
  const auto answer = std::make_shared<OllamaReply>(std::move(model), is_chat, streams,
                                                    AnswerStream(chat, *served.chat), reply);
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
  std::vector<int> tokens = served.tokenizer->Encode(prompt);
  CheckPromptLength(tokens.size(), served, "prompt");
  SetPrompt(job, std::move(tokens));
  job.constraint = ConstraintOf(asked, *served.tokenizer);
  const bool streams = fields.Bool("stream").value_or(true);
  const auto answer = std::make_shared<OllamaReply>(std::move(model), false, streams, std::nullopt, reply);
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
    return std::make_shared<OllamaReply>(model, true, false, std::nullopt, reply)
        ->SendLoaded(OnlyLoads(fields));
  Start(served, fields, *messages, true, request, body, model, reply);
}

void AnswerOllamaGenerate(const Served& served, const HttpRequest& request,
                          const std::shared_ptr<HttpReply>& reply) {
  const Json body = ParseBody(request.body);
  const Fields fields(body);
  const std::string model = CheckOllamaModel(fields, served);
  for (const char* field : {"suffix", "images", "context", "template"})
    if (const Json* value = fields.Find(field); value != nullptr && !value->empty() && *value != "")
      fields.Refuse(field, "is not supported by this server");
  const std::string prompt = fields.String("prompt").value_or("");
  if (prompt.empty())
    return std::make_shared<OllamaReply>(model, false, false, std::nullopt, reply)
        ->SendLoaded(OnlyLoads(fields));
  if (fields.Bool("raw").value_or(false))
    return StartRaw(served, fields, prompt, request, body, model, reply);
  Json messages = Json::array();
  if (const auto system = fields.String("system"); system && !system->empty())
    messages.push_back({{"role", "system"}, {"content", *system}});
  messages.push_back({{"role", "user"}, {"content", prompt}});
  Start(served, fields, std::move(messages), false, request, body, model, reply);
}

}  // namespace linnet
