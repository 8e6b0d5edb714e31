// POST /v1/embeddings: texts as vectors of length 1 (infer/embedding.h), as numbers or, as the SDKs ask for,
// as base64 of little-endian float32.
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "infer/embedding.h"
#include "serve/base64.h"
#include "serve/job_group.h"
#include "serve/openai.h"
#include "serve/openai_json.h"
#include "serve/prompts.h"
#include "serve/router.h"

namespace linnet {
namespace {

class EmbeddingsReply : public JobGroup {
 public:
  EmbeddingsReply(const Served& served, size_t count, bool base64, std::shared_ptr<HttpReply> reply)
      : JobGroup(std::move(reply)), served_(served), base64_(base64), vectors_(count) {}

 protected:
  void OnHidden(size_t job, std::vector<float> mean) override {
    Normalize(mean);
    vectors_[job] = std::move(mean);
  }

  void OnEnd(size_t /*job*/, const JobResult& result) override { tokens_ += result.prompt_tokens; }

  void OnAllEnded() override {
    Json data = Json::array();
    for (size_t i = 0; i < vectors_.size(); ++i) {
      data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", VectorJson(vectors_[i])}});
    }
    SendJson(reply(), {{"object", "list"},
                       {"data", std::move(data)},
                       {"model", served_.name},
                       {"usage", {{"prompt_tokens", tokens_}, {"total_tokens", tokens_}}}});
  }

  void SendFailure(const HttpError& error) override { Router::SendError(error, reply()); }

 private:
  Json VectorJson(const std::vector<float>& vector) const {
    if (!base64_) return vector;
    static_assert(std::endian::native == std::endian::little, "float32 are sent as they lie in memory");
    return Base64({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)});
  }

  const Served& served_;
  bool base64_;
  std::vector<std::vector<float>> vectors_;
  int64_t tokens_ = 0;
};

}  // namespace

void AnswerEmbeddings(const Served& served, const HttpRequest& request,
                      const std::shared_ptr<HttpReply>& reply) {
  const Json body = ParseBody(request.body);
  const Fields fields(body);
  CheckModel(fields, served);
  fields.RefuseAll({"dimensions", "lora", "state"});
  const std::string format = fields.String("encoding_format").value_or("float");
  if (format != "float" && format != "base64") fields.Refuse("encoding_format", "must be float or base64");
  std::vector<Job> jobs;
  for (std::vector<int>& text : ReadPrompts(fields, "input", served)) {
    Job& job = jobs.emplace_back();
    job.client = request.client;
    job.embed_from = text.empty() ? 0 : 1;
    text.insert(text.begin(), Tokenizer::kEndOfText);  // as texts begin in training
    job.prompt = std::move(text);
    job.max_tokens = 0;
    job.embed = true;
  }
  const auto answer = std::make_shared<EmbeddingsReply>(served, jobs.size(), format == "base64", reply);
  answer->Start(*served.engine, std::move(jobs));
}

}  // namespace linnet
