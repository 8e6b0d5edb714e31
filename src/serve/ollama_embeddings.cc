// POST /api/embed: texts as vectors of length 1; and /api/embeddings, its older form for one text.
#include <chrono>
#include <nlohmann/json.hpp>

#include "infer/embedding.h"
#include "serve/job_group.h"
#include "serve/ollama.h"
#include "serve/openai_json.h"
#include "serve/prompts.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

class EmbedReply : public JobGroup {
 public:
  EmbedReply(std::string model, size_t count, bool old, std::shared_ptr<HttpReply> reply)
      : JobGroup(std::move(reply)), model_(std::move(model)), old_(old), vectors_(count) {}

  void OnAllEnded() override {
    if (old_) return SendJson(reply(), {{"embedding", vectors_.front()}});
    SendJson(reply(), {{"model", model_},
                       {"embeddings", vectors_},
                       {"total_duration", (Clock::now() - start_).count()},
                       {"load_duration", queued_.count()},
                       {"prompt_eval_count", tokens_}});
  }

 protected:
  void OnHidden(size_t job, std::vector<float> mean) override {
    Normalize(mean);
    vectors_[job] = std::move(mean);
  }
  void OnEnd(size_t /*job*/, const JobResult& result) override {
    tokens_ += result.prompt_tokens;
    queued_ = std::max(queued_, result.queued);
  }
  void SendFailure(const HttpError& error) override { SendOllamaError(reply(), error); }

 private:
  std::string model_;
  bool old_;
  std::vector<std::vector<float>> vectors_;
  int64_t tokens_ = 0;
  std::chrono::nanoseconds queued_{0};
  Clock::time_point start_ = Clock::now();
};

}  // namespace

void AnswerOllamaEmbed(const Served& served, const HttpRequest& request,
                       const std::shared_ptr<HttpReply>& reply) {
  const Json body = ParseBody(request.body);
  const Fields fields(body);
  const std::string model = CheckOllamaModel(fields, served);
  fields.RefuseAll({"dimensions"});
  fields.Bool("truncate");  // a text that is too long is refused either way
  // Of what a text is written with only these would change its vector.
  if (const Json* options = fields.Find("options")) Fields(*options, "options.").RefuseAll({"lora", "state"});
  const bool old = request.path.ends_with("/embeddings");
  const char* field = old ? "prompt" : "input";
  std::vector<std::vector<int>> texts;
  const Json* input = fields.Find(field);
  // Nothing in, nothing out.
  if (input != nullptr && !(input->is_array() && input->empty())) texts = ReadPrompts(fields, field, served);
  if (old && texts.size() != 1) fields.Refuse(field, "must be one text");
  std::vector<Job> jobs;
  for (std::vector<int>& text : texts) {
    Job& job = jobs.emplace_back();
    job.client = request.client;
    job.embed_from = text.empty() ? 0 : 1;
    text.insert(text.begin(), Tokenizer::kEndOfText);  // as texts begin in training
    job.prompt = std::move(text);
    job.max_tokens = 0;
    job.embed = true;
  }
  const auto answer = std::make_shared<EmbedReply>(model, jobs.size(), old, reply);
  if (jobs.empty()) return answer->OnAllEnded();
  answer->Start(*served.engine, std::move(jobs));
}

}  // namespace linnet
