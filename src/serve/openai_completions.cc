// POST /v1/completions: texts that go on from prompts. A reply is one object or a stream of such objects with
// pieces. With `echo` a text begins with its prompt, and its logprobs with those of the prompt's tokens, the
// first of which is null: what lm-evaluation-harness (local-completions) scores texts by.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "serve/constraints.h"
#include "serve/job_group.h"
#include "serve/openai.h"
#include "serve/openai_json.h"
#include "serve/prompts.h"
#include "serve/router.h"
#include "text/utf8.h"

namespace linnet {
namespace {

constexpr int64_t kDefaultTokens = 16;
constexpr int kMostChoices = 16, kMostLogprobs = 20;

struct CompletionRequest {
  std::vector<Job> jobs;  // prompt by prompt, all choices of each
  bool echo = false, stream = false, include_usage = false, logprobs = false;
};

CompletionRequest ReadRequest(const Json& body, const Served& served, const std::string& client) {
  const Fields fields(body);
  CheckModel(fields, served);
  if (!fields.String("suffix").value_or("").empty())
    fields.Refuse("suffix", "is not supported by this server");
  CompletionRequest request;
  const auto choices = fields.Integer("n", 1, kMostChoices).value_or(1);
  if (fields.Integer("best_of", 1, kMostChoices).value_or(choices) != choices)
    fields.Refuse("best_of", "can only be the same as n on this server");
  request.echo = fields.Bool("echo").value_or(false);
  request.stream = fields.Bool("stream").value_or(false);
  if (const Json* options = fields.Find("stream_options"))
    request.include_usage = Fields(*options, "stream_options.").Bool("include_usage").value_or(false);
  const auto logprobs = fields.Integer("logprobs", 0, kMostLogprobs);
  request.logprobs = logprobs.has_value();
  for (std::vector<int>& prompt : ReadPrompts(fields, "prompt", served)) {
    Job job;
    job.client = client;
    job.max_tokens = kDefaultTokens;
    ReadSampling(fields, served, job);
    if (prompt.empty()) prompt.push_back(Tokenizer::kEndOfText);
    SetPrompt(job, std::move(prompt));
    job.constraint = ConstraintOf(body, *served.tokenizer);
    if (logprobs) job.top_logprobs = static_cast<int>(*logprobs);
    job.prompt_logprobs = request.echo && logprobs.has_value();
    if (choices > 1) job.shared = std::make_shared<SharedPrompt>();
    request.jobs.push_back(std::move(job));
    for (int64_t i = 1; i < choices; ++i) request.jobs.push_back(NextChoice(request.jobs.back()));
  }
  return request;
}

/// Characters of a text, of which this is the part that comes next.
size_t Characters(std::string_view bytes) {
  return static_cast<size_t>(std::ranges::count_if(bytes, [](char c) { return (c & 0xC0) != 0x80; }));
}

/// The logprobs of a choice's tokens: four lists of one length.
class Logprobs {
 public:
  /// The first token of a text has no number: nothing comes before it.
  void Add(const Tokenizer& tokenizer, const ScoredToken& score) {
    if (std::isnan(score.logprob)) return Add(tokenizer, score.token, Json(), Json());
    Json top = Json::object();
    for (const auto& [token, logprob] : score.top) top[TokenName(tokenizer, token)] = logprob;
    top.emplace(TokenName(tokenizer, score.token), score.logprob);
    Add(tokenizer, score.token, score.logprob, std::move(top));
  }
  bool empty() const { return tokens_.empty(); }
  /// What has come since the last time.
  Json Take() {
    const auto take = [](Json& list) { return std::exchange(list, Json::array()); };
    return {{"tokens", take(tokens_)},
            {"token_logprobs", take(logprobs_)},
            {"top_logprobs", take(top_)},
            {"text_offset", take(offsets_)}};
  }

 private:
  void Add(const Tokenizer& tokenizer, int token, Json logprob, Json top) {
    tokens_.push_back(TokenName(tokenizer, token));
    logprobs_.push_back(std::move(logprob));
    top_.push_back(std::move(top));
    offsets_.push_back(offset_);
    offset_ += Characters(tokenizer.Decode({&token, 1}));
  }

  Json tokens_ = Json::array(), logprobs_ = Json::array(), top_ = Json::array(), offsets_ = Json::array();
  size_t offset_ = 0;
};

struct Choice {
  std::vector<int> prompt;
  Utf8Stream characters{Utf8Stream::Mode::kValid};
  std::string text;  // that has not been sent yet
  Logprobs logprobs;
  std::string finish_reason;
  std::optional<EventForm> piece;  // of text alone
};

class CompletionReply : public JobGroup {
 public:
  CompletionReply(const Served& served, const CompletionRequest& request, std::shared_ptr<HttpReply> reply)
      : JobGroup(std::move(reply)),
        served_(served),
        streams_(request.stream),
        include_usage_(request.include_usage),
        logprobs_(request.logprobs),
        id_(NewId("cmpl-")),
        created_(UnixTime()) {
    for (const Job& job : request.jobs) {
      Choice& choice = choices_.emplace_back();
      choice.prompt = job.prompt;
      if (request.echo) choice.text = choice.characters.Push(served.tokenizer->Decode(job.prompt));
    }
  }

 protected:
  void OnPromptScores(size_t job, const std::vector<ScoredToken>& scores) override {
    for (const ScoredToken& score : scores) choices_[job].logprobs.Add(*served_.tokenizer, score);
  }

  void OnText(size_t job, std::string_view text, const ScoredToken* score) override {
    Choice& choice = choices_[job];
    if (score != nullptr && logprobs_) choice.logprobs.Add(*served_.tokenizer, *score);
    choice.text += choice.characters.Push(text);
    if (streams_ && !choice.text.empty()) WriteChunk(job);
  }

  void OnEnd(size_t job, const JobResult& result) override {
    Choice& choice = choices_[job];
    choice.text += choice.characters.Finish();
    choice.finish_reason = FinishReason(result.end);
    // Choices of one prompt share it.
    Usage own;
    own.Add(result);
    usage_.completion += own.completion;
    const bool first = job == 0 || choices_[job - 1].prompt != choice.prompt;
    if (first) {
      usage_.prompt += own.prompt;
      usage_.cached += own.cached;
    }
    if (streams_) WriteChunk(job);
  }

  void OnAllEnded() override {
    if (!streams_) return SendWhole();
    if (include_usage_) {
      Json chunk = Envelope();
      chunk["choices"] = Json::array();
      chunk["usage"] = UsageJson(usage_);
      reply().Write(Event(chunk));
    }
    reply().Write(std::string(kLastEvent));
    reply().End();
  }

  void SendFailure(const HttpError& error) override {
    if (!begun_) return Router::SendError(error, reply());
    reply().Write("data: " + ErrorJson(error.status, error.what(), error.param, error.code) + "\n\n");
    reply().End();
  }

 private:
  Json Envelope() const {
    return {{"id", id_},
            {"object", "text_completion"},
            {"created", created_},
            {"model", served_.name},
            {"system_fingerprint", served_.fingerprint}};
  }

  Json TakeChoice(size_t index) {
    Choice& choice = choices_[index];
    return {{"text", std::exchange(choice.text, "")},
            {"index", index},
            {"logprobs", choice.logprobs.empty() ? Json() : choice.logprobs.Take()},
            {"finish_reason", choice.finish_reason.empty() ? Json() : Json(choice.finish_reason)}};
  }

  void WriteChunk(size_t index) {
    if (!std::exchange(begun_, true))
      reply().Begin(200, kEventStream, {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}});
    Choice& choice = choices_[index];
    if (!choice.logprobs.empty() || !choice.finish_reason.empty())
      return reply().Write(Event(Chunk(TakeChoice(index))));
    const std::string text = std::exchange(choice.text, EventForm::kText);
    if (!choice.piece) choice.piece.emplace(Chunk(TakeChoice(index)));
    choice.text.clear();
    reply().Write(choice.piece->With(text));
  }

  Json Chunk(Json choice) const {
    Json chunk = Envelope();
    chunk["choices"] = Json::array({std::move(choice)});
    if (include_usage_) chunk["usage"] = nullptr;
    return chunk;
  }

  void SendWhole() {
    Json list = Json::array();
    for (size_t i = 0; i < choices_.size(); ++i) list.push_back(TakeChoice(i));
    Json whole = Envelope();
    whole["choices"] = std::move(list);
    whole["usage"] = UsageJson(usage_);
    SendJson(reply(), whole);
  }

  const Served& served_;
  bool streams_, include_usage_, logprobs_, begun_ = false;
  std::string id_;
  int64_t created_;
  Usage usage_;
  std::vector<Choice> choices_;
};

}  // namespace

void AnswerCompletion(const Served& served, const HttpRequest& request,
                      const std::shared_ptr<HttpReply>& reply) {
  CompletionRequest completion = ReadRequest(ParseBody(request.body), served, request.client);
  const auto answer = std::make_shared<CompletionReply>(served, completion, reply);
  answer->Start(*served.engine, std::move(completion.jobs));
}

}  // namespace linnet
