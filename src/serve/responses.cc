#include "serve/responses.h"

#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "serve/answer_stream.h"
#include "serve/job_group.h"
#include "serve/openai_json.h"
#include "serve/responses_request.h"
#include "serve/router.h"

namespace linnet {
namespace {

/// The reply to one request: items that open one after the other, a thought and then a message, each told of
/// in events as it grows.
class ResponseReply : public JobGroup {
 public:
  ResponseReply(const Served& served, Conversations& conversations, ResponseRequest request,
                std::shared_ptr<HttpReply> reply)
      : JobGroup(std::move(reply)),
        served_(served),
        conversations_(conversations),
        turn_(std::move(request.turn)),
        echo_(Json::parse(request.echo)),
        store_(request.store),
        streams_(request.chat.stream),
        stream_(request.chat, *served.chat) {}

 protected:
  void OnText(size_t, std::string_view text, const ScoredToken* score) override {
    AnswerStream::Pieces pieces = stream_.Push(text);
    if (score != nullptr && pieces.reasoning.empty())
      logprobs_.push_back(ChatLogprob(*served_.tokenizer, *score));
    Take(pieces);
  }

  void OnEnd(size_t, const JobResult& result) override {
    Take(stream_.Finish());
    if (item_ != kMessage) Open(kMessage);
    cut_ = result.end == Generation::End::kLength;
    Close();
    usage_.Add(result, turn_.tokens_before);
    place_ = result.place;
  }

  void OnAllEnded() override {
    Json response = Response(cut_ ? "incomplete" : "completed");
    if (!store_) return Finish(response);
    turn_.stored.reply = Dump(response);
    const auto self = std::static_pointer_cast<ResponseReply>(shared_from_this());
    conversations_.Keep(std::move(turn_), answer_, std::move(place_), [self, response](bool kept) mutable {
      if (!kept) response["store"] = false;
      self->Finish(response);
    });
  }

  void SendFailure(const HttpError& error) override {
    if (!begun_) return Router::SendError(error, reply());
    Json response = Response("failed");
    response["error"] = {{"code", "server_error"}, {"message", error.what()}};
    Emit("response.failed", {{"response", response}});
    Emit("error",
         {{"code", "server_error"},
          {"message", error.what()},
          {"param", nullptr},
          {"error", {{"code", "server_error"}, {"message", error.what()}, {"type", "server_error"}}}});
    reply().End();
  }

 private:
  enum Kind { kNone, kReasoning, kMessage };

  Json Response(const char* status) const {
    Json response = {{"id", id_}, {"object", "response"}, {"created_at", created_}, {"status", status}};
    response["error"] = nullptr;
    response["incomplete_details"] = cut_ ? Json{{"reason", "max_output_tokens"}} : Json();
    response["model"] = served_.name;
    response["output"] = output_;
    response.update(echo_);
    const bool ended = std::string_view(status) != "in_progress";
    response["usage"] = ended ? UsageOf() : Json();
    return response;
  }

  Json UsageOf() const {
    return {{"input_tokens", usage_.prompt},
            {"input_tokens_details", {{"cached_tokens", usage_.cached}}},
            {"output_tokens", usage_.completion},
            {"output_tokens_details", {{"reasoning_tokens", reasoning_tokens_}}},
            {"total_tokens", usage_.prompt + usage_.completion}};
  }

  /// An event of the stream; nothing if there is none.
  void Emit(const char* type, Json fields) {
    if (!streams_) return;
    if (!std::exchange(begun_, true)) {
      reply().Begin(200, kEventStream, {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
      Emit("response.created", {{"response", Response("in_progress")}});
      Emit("response.in_progress", {{"response", Response("in_progress")}});
    }
    Json event = {{"type", type}, {"sequence_number", sequence_++}};
    event.update(fields);
    reply().Write(fmt::format("event: {}\n{}", type, Event(event)));
  }

  void Take(const AnswerStream::Pieces& pieces) {
    if (!pieces.reasoning.empty()) {
      if (item_ != kReasoning) Open(kReasoning);
      Grow("response.reasoning_text.delta", pieces.reasoning);
    }
    if (!pieces.content.empty()) {
      if (item_ != kMessage) Open(kMessage);
      Grow("response.output_text.delta", pieces.content);
    }
  }

  Json Item(const char* status, Json content) const {
    if (item_ == kReasoning)
      return {{"id", item_id_},
              {"type", "reasoning"},
              {"summary", Json::array()},
              {"content", std::move(content)},
              {"status", status}};
    return {{"id", item_id_},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  Json Part() const {
    if (item_ == kReasoning) return {{"type", "reasoning_text"}, {"text", text_}};
    return {{"type", "output_text"},
            {"text", text_},
            {"annotations", Json::array()},
            {"logprobs", all_logprobs_}};
  }

  /// Fields that say which part of which item an event is about.
  Json Place() const {
    return {{"item_id", item_id_}, {"output_index", output_.size()}, {"content_index", 0}};
  }

  Json With(Json fields, const char* name, Json value) const {
    fields[name] = std::move(value);
    return fields;
  }

  void Open(Kind kind) {
    Close();
    item_ = kind;
    item_id_ = NewId(kind == kReasoning ? "rs_" : "msg_");
    text_.clear();
    Emit("response.output_item.added",
         {{"output_index", output_.size()}, {"item", Item("in_progress", Json::array())}});
    Emit("response.content_part.added", With(Place(), "part", Part()));
  }

  void Grow(const char* event, const std::string& piece) {
    text_ += piece;
    Json fields = With(Place(), "delta", piece);
    if (item_ == kMessage) fields["logprobs"] = TakeLogprobs();
    Emit(event, std::move(fields));
  }

  void Close() {
    if (item_ == kNone) return;
    const bool message = item_ == kMessage;
    if (message) TakeLogprobs();
    Json done = With(Place(), "text", text_);
    if (message) done["logprobs"] = all_logprobs_;
    Emit(message ? "response.output_text.done" : "response.reasoning_text.done", std::move(done));
    Emit("response.content_part.done", With(Place(), "part", Part()));
    Json item = Item(message && cut_ ? "incomplete" : "completed", Json::array({Part()}));
    Emit("response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
    if (message)
      answer_ = text_;
    else
      reasoning_tokens_ = static_cast<int64_t>(served_.tokenizer->Encode(text_).size());
    output_.push_back(std::move(item));
    item_ = kNone;
  }

  /// Those of tokens that have come since the last call.
  Json TakeLogprobs() {
    Json taken = std::exchange(logprobs_, Json::array());
    all_logprobs_.insert(all_logprobs_.end(), taken.begin(), taken.end());
    return taken;
  }

  void Finish(const Json& response) {
    if (!streams_) return SendJson(reply(), response);
    Emit(cut_ ? "response.incomplete" : "response.completed", {{"response", response}});
    reply().End();
  }

  const Served& served_;
  Conversations& conversations_;
  Turn turn_;
  const Json echo_;
  const bool store_, streams_;
  AnswerStream stream_;
  const std::string id_ = turn_.stored.id;
  const int64_t created_ = turn_.stored.created;

  bool begun_ = false;  // the stream
  int64_t sequence_ = 0;
  Kind item_ = kNone;  // that is open
  std::string item_id_, text_;
  Json output_ = Json::array();  // the items that are closed
  Json logprobs_ = Json::array(), all_logprobs_ = Json::array();
  std::string answer_;
  Usage usage_;
  int64_t reasoning_tokens_ = 0;
  bool cut_ = false;  // it has as many tokens as it may have
  std::shared_ptr<const Snapshot> place_;
};

void PostResponse(const Served& served, Conversations& conversations, const HttpRequest& request,
                  const std::shared_ptr<HttpReply>& reply) {
  ResponseRequest wanted =
      ReadResponseRequest(ParseBody(request.body), served, conversations, request.client);
  std::vector<Job> jobs;
  jobs.push_back(std::move(wanted.chat.job));
  std::make_shared<ResponseReply>(served, conversations, std::move(wanted), reply)
      ->Start(*served.engine, std::move(jobs));
}

/// What follows "/responses/" in the path.
std::string IdOf(const HttpRequest& request) {
  constexpr std::string_view kFolder = "/responses/";
  return request.path.substr(request.path.find(kFolder) + kFolder.size());
}

/// A response by the path's id. Throws HttpError 404.
StoredState FindResponse(Conversations& conversations, const std::string& client, const std::string& id) {
  StoredState stored = conversations.Find(client, id);
  if (!stored.reply.empty() && stored.id == id) return stored;
  throw HttpError(404, fmt::format("Response with id '{}' not found.", id), "", "not_found");
}

void SendInputItems(const StoredState& stored, HttpReply& reply) {
  Json messages = Json::parse(stored.messages);
  if (!messages.empty()) messages.erase(messages.size() - 1);  // the answer
  Json items = Json::array();
  for (size_t i = messages.size(); i-- > 0;) {  // the newest first, as the original does
    const std::string role = messages[i].value("role", "user");
    const char* type = role == "assistant" ? "output_text" : "input_text";
    items.push_back({{"id", "msg_" + Sha256Hex(fmt::format("{} {}", stored.id, i), 24)},
                     {"type", "message"},
                     {"status", "completed"},
                     {"role", role},
                     {"content", Json::array({{{"type", type}, {"text", messages[i]["content"]}}})}});
  }
  const auto id = [&](size_t i) { return items.empty() ? Json() : items[i]["id"]; };
  SendJson(reply, {{"object", "list"},
                   {"data", items},
                   {"first_id", id(0)},
                   {"last_id", id(items.empty() ? 0 : items.size() - 1)},
                   {"has_more", false}});
}

void GetResponse(Conversations& conversations, const HttpRequest& request, HttpReply& reply) {
  constexpr std::string_view kItems = "/input_items";
  std::string id = IdOf(request);
  const bool items = id.ends_with(kItems);
  if (items) id.resize(id.size() - kItems.size());
  const StoredState stored = FindResponse(conversations, request.client, id);
  if (items) return SendInputItems(stored, reply);
  reply.Send(200, "application/json", stored.reply);
}

void DeleteResponse(Conversations& conversations, const HttpRequest& request, HttpReply& reply) {
  const std::string id = IdOf(request);
  conversations.Remove(FindResponse(conversations, request.client, id));
  SendJson(reply, {{"id", id}, {"object", "response"}, {"deleted", true}});
}

}  // namespace

std::vector<HttpRoute> ResponsesRoutes(const Served& served, Conversations& conversations) {
  using Reply = std::shared_ptr<HttpReply>;
  std::vector<HttpRoute> routes;
  const auto add = [&](const char* method, const char* path, HttpHandler handler) {
    AddApi(routes, method, path, conversations.Later(std::move(handler)));
  };
  add("POST", "/responses", [&](const HttpRequest& request, const Reply& reply) {
    PostResponse(served, conversations, request, reply);
  });
  add("GET", "/responses/*",
      [&](const HttpRequest& request, const Reply& reply) { GetResponse(conversations, request, *reply); });
  add("DELETE", "/responses/*", [&](const HttpRequest& request, const Reply& reply) {
    DeleteResponse(conversations, request, *reply);
  });
  return routes;
}

}  // namespace linnet
