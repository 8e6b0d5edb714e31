#include "serve/inside.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/check.h"
#include "infer/decays.h"
#include "infer/generator.h"
#include "ops/adapters.h"
#include "serve/fields.h"
#include "serve/openai_json.h"

namespace linnet {
namespace {

constexpr int64_t kLast = 512, kMostLast = 4096;
constexpr int64_t kMostNorms = 1 << 20;     // that a reply may have
constexpr int64_t kMostTokens = 64 * 1024;  // of a text
constexpr int kTop = 8, kMostTop = 20;

/// The states of wkv, a layer each, in order.
std::vector<int> WkvVariables(const State& state) {
  std::vector<int> variables;
  for (size_t i = 0; i < state.specs().size(); ++i) {
    const StateSpec& spec = state.specs()[i];
    if (spec.name.ends_with(".att.wkv") && spec.shape.rank() >= 2) variables.push_back(static_cast<int>(i));
  }
  return variables;
}

bool HasHeads(const Shape& shape) { return shape.rank() == 3; }

float Norm(std::span<const float> values) {
  double sum = 0;
  for (const double x : values) sum += x * x;
  return static_cast<float>(std::sqrt(sum));
}

/// The norms of one layer's heads, of a state of one slot.
void AddNorms(const StateSpec& spec, const Tensor& state, std::vector<float>& norms) {
  const std::span<const float> values(state.data(), static_cast<size_t>(spec.shape.size()));
  if (HasHeads(spec.shape)) {
    const size_t size = values.size() / spec.shape[0];
    for (size_t at = 0; at < values.size(); at += size) norms.push_back(Norm(values.subspan(at, size)));
    return;
  }
  // RWKV-4 keeps sums of weighted values and of weights: [sum, weights, exponent] of each channel.
  const size_t width = spec.shape[1];
  std::vector<float> averages(width);
  for (size_t c = 0; c < width; ++c) {
    averages[c] = values[width + c] > 0 ? values[c] / values[width + c] : 0;
  }
  norms.push_back(Norm(averages));
}

/// How likely `token` was, and the likeliest.
ScoredToken Score(std::span<const float> logits, int token, int top) {
  const float largest = *std::ranges::max_element(logits);
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x - largest));
  const double base = largest + std::log(sum);
  const auto logprob = [&](int id) { return static_cast<float>(logits[id] - base); };
  std::vector<int> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto count = std::min<size_t>(top, ids.size());
  std::ranges::partial_sort(ids, ids.begin() + static_cast<std::ptrdiff_t>(count), [&](int a, int b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  ScoredToken score{token, logprob(token), {}};
  for (size_t i = 0; i < count; ++i) score.top.emplace_back(ids[i], logprob(ids[i]));
  return score;
}

Json TokenJson(const Tokenizer& tokenizer, const ScoredToken& score) {
  Json json = ChatLogprob(tokenizer, score);
  if (score.top.empty()) json["logprob"] = nullptr;
  return json;
}

/// What is asked for, read from a request.
struct Question {
  std::vector<int> tokens;
  int64_t answer = 0;  // where the last answer begins
  int64_t last = kLast;
  int top = kTop;
  Variant variant;
};

void ReadText(const Json& request, const Fields& fields, const Served& served, Question& question) {
  if (const auto prompt = fields.String("prompt")) {
    question.tokens = served.tokenizer->Encode(*prompt);
    return;
  }
  const Json* list = fields.Find("messages");
  if (list == nullptr) fields.Refuse("messages", "or 'prompt' must be given");
  std::vector<ChatMessage> messages = ReadMessages(request.at("messages"));
  const auto write = [&] {
    return WriteConversation(messages, *served.chat, FindThinkForm("off"), *served.tokenizer).tokens;
  };
  question.tokens = write();
  question.answer = static_cast<int64_t>(question.tokens.size());
  if (messages.back().role != ChatMessage::Role::kAssistant || messages.size() < 2) return;
  messages.pop_back();
  question.answer = static_cast<int64_t>(write().size());
}

Question ReadQuestion(const Json& request, const Served& served) {
  const Fields fields(request);
  CheckModel(fields, served);
  Question question;
  ReadText(request, fields, served, question);
  if (question.tokens.empty()) fields.Refuse("prompt", "is empty");
  if (static_cast<int64_t>(question.tokens.size()) > kMostTokens)
    fields.Refuse("prompt",
                  fmt::format("has {} tokens; at most {} are read", question.tokens.size(), kMostTokens));
  question.last = fields.Integer("last", 1, kMostLast).value_or(kLast);
  question.top = static_cast<int>(fields.Integer("top_logprobs", 1, kMostTop).value_or(kTop));
  const std::string lora = fields.String("lora").value_or(""), state = fields.String("state").value_or("");
  if (lora.empty() && state.empty()) return question;
  if (!served.variant_of) fields.RefuseAll({"lora", "state"});
  question.variant = served.variant_of(lora, state);
  return question;
}

/// Four digits are enough for a colour, and keep the reply short.
double Rounded(double x) {
  if (x == 0 || !std::isfinite(x)) return 0;
  const double scale = std::pow(10.0, 3 - std::floor(std::log10(std::abs(x))));
  return std::round(x * scale) / scale;
}

Json ReplyJson(const Served& served, const Question& question, const Inside& inside) {
  Json tokens = Json::array(), norms = Json::array();
  for (const ScoredToken& score : inside.tokens) tokens.push_back(TokenJson(*served.tokenizer, score));
  for (const std::vector<float>& of_token : inside.norms) {
    Json row = Json::array();
    for (const double norm : of_token) row.push_back(Rounded(norm));
    norms.push_back(std::move(row));
  }
  return {{"object", "inside"},          {"model", served.name},
          {"first", inside.first},       {"answer", std::max<int64_t>(0, question.answer - inside.first)},
          {"tokens", std::move(tokens)}, {"heads", inside.heads},
          {"norms", std::move(norms)},   {"decays", Decays(*served.engine->model().params)}};
}

void Look(const Served& served, const Question& question, const std::atomic<bool>& over, HttpReply& reply) {
  try {
    const Inside inside = LookInside(served.engine->model(), *served.tokenizer, question.tokens,
                                     question.variant, question.last, question.top, over);
    SendJson(reply, ReplyJson(served, question, inside));
  } catch (const std::exception& error) {
    reply.Send(500, "application/json", ErrorJson(500, error.what()));
  }
}

}  // namespace

Inside LookInside(const LoadedModel& model, const Tokenizer& tokenizer, std::span<const int> tokens,
                  const Variant& variant, int64_t last, int top, const std::atomic<bool>& over) {
  Check(!tokens.empty(), "[inside] there is no text");
  for (const int token : tokens) {
    Check(token >= 0 && token < model.vocab(), "[inside] token {} is not in the vocabulary of {}", token,
          model.vocab());
  }
  const AdaptersInForce adapters(variant.lora.get());
  State state = model.NewState(1);
  Tensor logits;
  if (variant.state) {
    state.Restore(0, variant.state->variables);
    logits = variant.state->logits;
  }
  Inside inside;
  const std::vector<int> variables = WkvVariables(state);
  for (const int i : variables) {
    const Shape& shape = state.specs()[i].shape;
    inside.heads.push_back(HasHeads(shape) ? static_cast<int>(shape[0]) : 1);
  }
  const int64_t a_token = std::max(1, std::reduce(inside.heads.begin(), inside.heads.end()));
  const int64_t looked_at = std::clamp<int64_t>(kMostNorms / a_token, 1, last);
  inside.first = std::max<int64_t>(0, static_cast<int64_t>(tokens.size()) - looked_at);
  if (inside.first > 0) {
    logits = Prefill(*model.model, state, tokens.first(inside.first), 0, [&](int64_t) { return !over; });
  }
  const auto vocab = static_cast<size_t>(std::min<int64_t>(model.vocab(), tokenizer.vocab()));
  for (const int token : tokens.subspan(inside.first)) {
    if (over) break;
    const bool known = static_cast<bool>(logits) && token < static_cast<int>(vocab);
    inside.tokens.push_back(known ? Score({logits.data(), vocab}, token, top) : ScoredToken{token, 0, {}});
    Batch batch;
    batch.Append({token}, 0);
    logits = model.model->Forward(batch, state);
    std::vector<float>& norms = inside.norms.emplace_back();
    for (const int i : variables) AddNorms(state.specs()[i], state.at(i).out, norms);
  }
  return inside;
}

InsideReader::~InsideReader() {
  const std::lock_guard lock(mutex_);
  if (over_) *over_ = true;  // and the thread is joined
}

void InsideReader::Answer(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
  Question question = ReadQuestion(ParseBody(request.body), served_);
  const std::lock_guard lock(mutex_);
  if (busy_.exchange(true)) {
    HttpError error(429, "another text is being looked at; try again in a moment");
    error.headers.emplace_back("Retry-After", "1");
    throw error;
  }
  over_ = std::make_shared<std::atomic<bool>>(false);
  reply->OnGone([over = over_] { *over = true; });
  // Whatever thread was there has ended, but for its last lines.
  thread_ = std::jthread([this, question = std::move(question), reply, over = over_] {
    Look(served_, question, *over, *reply);
    busy_ = false;
  });
}

std::vector<HttpRoute> InsideRoutes(InsideReader& reader) {
  std::vector<HttpRoute> routes;
  AddApi(routes, "POST", "/inside",
         [&reader](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
           reader.Answer(request, reply);
         });
  return routes;
}

}  // namespace linnet
