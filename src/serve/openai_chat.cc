// POST /v1/chat/completions. A reply is one object "chat.completion", or a stream of "chat.completion.chunk":
// the role, pieces of text, thought or calls, a last one with the finish_reason, the usage if wanted, [DONE].
#include <nlohmann/json.hpp>

#include "serve/answer_stream.h"
#include "serve/conversations.h"
#include "serve/job_group.h"
#include "serve/openai.h"
#include "serve/openai_json.h"
#include "serve/router.h"
#include "serve/tools.h"

namespace linnet {
namespace {

/// One of the n answers.
struct Choice {
  explicit Choice(AnswerStream answer_stream) : stream(std::move(answer_stream)) {}

  AnswerStream stream;
  std::string content, reasoning;
  std::vector<ToolCall> calls;
  Json logprobs = Json::array();  // of tokens that have not been sent yet
  std::string finish_reason;
  std::optional<EventForm> piece;  // of content alone

  /// A call that was cut off is none that the client could make.
  std::string ReasonOf(Generation::End end) const {
    const std::string reason = FinishReason(end);
    return reason == "stop" && !calls.empty() && calls.back().whole ? "tool_calls" : reason;
  }
};

class ChatReply : public JobGroup {
 public:
  /// `turn`: of the session, if it is in one.
  ChatReply(const Served& served, const ChatRequest& request, std::optional<Turn> turn,
            std::shared_ptr<HttpReply> reply)
      : JobGroup(std::move(reply)),
        served_(served),
        turn_(std::move(turn)),
        streams_(request.stream),
        include_usage_(request.include_usage),
        wants_logprobs_(request.job.top_logprobs >= 0),
        id_(NewId("chatcmpl-")),
        created_(UnixTime()) {
    for (int i = 0; i < request.choices; ++i) choices_.emplace_back(AnswerStream(request, *served.chat));
  }

 protected:
  void OnText(size_t job, std::string_view text, const ScoredToken* score) override {
    Choice& choice = choices_[job];
    if (score != nullptr) choice.logprobs.push_back(ChatLogprob(*served_.tokenizer, *score));
    Take(job, choice.stream.Push(text));
  }

  void OnEnd(size_t job, const JobResult& result) override {
    Choice& choice = choices_[job];
    Take(job, choice.stream.Finish());
    usage_.Add(result, turn_ ? turn_->tokens_before : 0);
    place_ = result.place;
    choice.finish_reason = choice.ReasonOf(result.end);
    if (!streams_) return;
    BeginStream();
    WriteDelta(job, Json::object());
  }

  void OnAllEnded() override {
    if (!turn_) return SendEnd();
    // The client goes on as soon as it has the end, be it at another server: all has to be stored by then.
    const auto self = std::static_pointer_cast<ChatReply>(shared_from_this());
    const std::string answer = AnswerWithCalls(choices_[0].content, choices_[0].calls);
    served_.conversations->Keep(std::move(*turn_), answer, std::move(place_), [self](bool kept) {
      if (kept) return self->SendEnd();
      self->SendFailure(HttpError(503, "the answer could not be kept in its session", "", "store_failed"));
    });
  }

  void SendFailure(const HttpError& error) override {
    if (!begun_) return Router::SendError(error, reply());
    reply().Write("data: " + ErrorJson(error.status, error.what(), error.param, error.code) + "\n\n");
    reply().End();
  }

 private:
  void SendEnd() {
    if (!streams_) return SendWhole();
    if (include_usage_) {
      Json chunk = Envelope("chat.completion.chunk");
      chunk["choices"] = Json::array();
      chunk["usage"] = UsageJson(usage_);
      reply().Write(Event(chunk));
    }
    reply().Write(std::string(kLastEvent));
    reply().End();
  }

  Json Envelope(const char* object) const {
    return {{"id", id_},
            {"object", object},
            {"created", created_},
            {"model", served_.name},
            {"system_fingerprint", served_.fingerprint}};
  }

  void BeginStream() {
    if (std::exchange(begun_, true)) return;
    reply().Begin(200, kEventStream, {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
    for (size_t i = 0; i < choices_.size(); ++i) WriteDelta(i, {{"role", "assistant"}, {"content", ""}});
  }

  void WriteContent(size_t index, const std::string& text) {
    Choice& choice = choices_[index];
    if (!choice.logprobs.empty()) return WriteDelta(index, {{"content", text}});
    if (!choice.piece) choice.piece.emplace(Chunk(index, {{"content", EventForm::kText}}));
    reply().Write(choice.piece->With(text));
  }

  void WriteDelta(size_t index, Json delta) { reply().Write(Event(Chunk(index, std::move(delta)))); }

  /// With the logprobs that have come, and the finish_reason if there is one.
  Json Chunk(size_t index, Json delta) {
    Choice& choice = choices_[index];
    const bool last = !choice.finish_reason.empty();
    Json logprobs;
    if (!choice.logprobs.empty())
      logprobs = {{"content", std::exchange(choice.logprobs, Json::array())}, {"refusal", nullptr}};
    Json entry = {{"index", index},
                  {"delta", std::move(delta)},
                  {"logprobs", std::move(logprobs)},
                  {"finish_reason", last ? Json(choice.finish_reason) : Json()}};
    Json chunk = Envelope("chat.completion.chunk");
    chunk["choices"] = Json::array({std::move(entry)});
    if (include_usage_) chunk["usage"] = nullptr;
    return chunk;
  }

  void Take(size_t index, AnswerStream::Pieces pieces) {
    if (pieces.empty()) return;
    Choice& choice = choices_[index];
    choice.content += pieces.content;
    choice.reasoning += pieces.reasoning;
    if (streams_) Stream(index, pieces);
    Append(pieces.calls, choice.calls);
  }

  void Stream(size_t index, const AnswerStream::Pieces& pieces) {
    BeginStream();
    if (!pieces.reasoning.empty()) WriteDelta(index, {{"reasoning_content", pieces.reasoning}});
    if (!pieces.content.empty()) WriteContent(index, pieces.content);
    size_t begun = choices_[index].calls.size();
    const auto write = [&](Json part) {
      WriteDelta(index, {{"tool_calls", Json::array({std::move(part)})}});
    };
    for (const ToolCallPiece& piece : pieces.calls) {
      if (piece.begins) {
        write({{"index", begun++},
               {"id", NewId("call_")},
               {"type", "function"},
               {"function", {{"name", piece.name}, {"arguments", ""}}}});
      }
      if (!piece.arguments.empty())
        write({{"index", begun - 1}, {"function", {{"arguments", piece.arguments}}}});
    }
  }

  static Json CallsJson(const std::vector<ToolCall>& calls) {
    Json list = Json::array();
    for (const ToolCall& call : calls) {
      list.push_back({{"id", NewId("call_")},
                      {"type", "function"},
                      {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    return list;
  }

  void SendWhole() {
    Json list = Json::array();
    for (size_t i = 0; i < choices_.size(); ++i) {
      Choice& choice = choices_[i];
      const bool only_calls = choice.content.empty() && !choice.calls.empty();
      Json message = {{"role", "assistant"}, {"content", only_calls ? Json() : Json(choice.content)}};
      message["refusal"] = nullptr;
      if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
      if (!choice.calls.empty()) message["tool_calls"] = CallsJson(choice.calls);
      Json logprobs;
      if (wants_logprobs_) logprobs = {{"content", std::move(choice.logprobs)}, {"refusal", nullptr}};
      list.push_back({{"index", i},
                      {"message", std::move(message)},
                      {"logprobs", std::move(logprobs)},
                      {"finish_reason", choice.finish_reason}});
    }
    Json whole = Envelope("chat.completion");
    whole["choices"] = std::move(list);
    whole["usage"] = UsageJson(usage_);
    SendJson(reply(), whole);
  }

  const Served& served_;
  std::optional<Turn> turn_;
  std::shared_ptr<const Snapshot> place_;
  bool streams_, include_usage_, wants_logprobs_, begun_ = false;
  std::string id_;
  int64_t created_;
  Usage usage_;
  std::vector<Choice> choices_;
};

void Answer(const Served& served, const Json& body, const std::string& client,
            const std::shared_ptr<HttpReply>& reply) {
  ChatRequest chat = ReadChatRequest(body, served, client);
  std::optional<Turn> turn;
  if (Fields(body).Find("session") != nullptr) turn = served.conversations->BeginSession(body, served, chat);
  const auto answer = std::make_shared<ChatReply>(served, chat, std::move(turn), reply);
  std::vector<Job> jobs;
  if (chat.choices > 1) chat.job.shared = std::make_shared<SharedPrompt>();
  jobs.push_back(std::move(chat.job));
  while (static_cast<int>(jobs.size()) < chat.choices) jobs.push_back(NextChoice(jobs.back()));
  answer->Start(*served.engine, std::move(jobs));
}

}  // namespace

void AnswerChat(const Served& served, const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
  const auto body = std::make_shared<const Json>(ParseBody(request.body));
  const Fields fields(*body);
  if (fields.Find("session") == nullptr) return Answer(served, *body, request.client, reply);
  if (served.conversations == nullptr) fields.RefuseAll({"session"});
  const auto later = served.conversations->Later(
      [&served, body](const HttpRequest& r, const auto& to) { Answer(served, *body, r.client, to); });
  later(request, reply);
}

}  // namespace linnet
