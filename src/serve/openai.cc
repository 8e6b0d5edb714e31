#include "serve/openai.h"

#include <nlohmann/json.hpp>

#include "serve/openai_json.h"

namespace linnet {
namespace {

Json ModelJson(const Served& served) {
  return {{"id", served.name}, {"object", "model"}, {"created", served.created}, {"owned_by", "linnet"}};
}

/// Beside OpenAI's list, what a request may name in `lora` and `state`.
Json ListJson(const Served& served) {
  Json list = {{"object", "list"}, {"data", Json::array({ModelJson(served)})}};
  if (!served.lora_names.empty()) list["loras"] = served.lora_names;
  if (!served.state_names.empty()) list["states"] = served.state_names;
  return list;
}

void SendModel(const Served& served, const HttpRequest& request, HttpReply& reply) {
  const std::string folder = "/models/";
  const Json named = {{"model", request.path.substr(request.path.find(folder) + folder.size())}};
  CheckModel(Fields(named), served);
  SendJson(reply, ModelJson(served));
}

}  // namespace

std::vector<HttpRoute> OpenAiRoutes(const Served& served) {
  using Reply = std::shared_ptr<HttpReply>;
  std::vector<HttpRoute> routes;
  AddApi(routes, "GET", "/models",
         [&](const HttpRequest&, const Reply& reply) { SendJson(*reply, ListJson(served)); });
  AddApi(routes, "GET", "/models/*",
         [&](const HttpRequest& request, const Reply& reply) { SendModel(served, request, *reply); });
  using Answer = void (*)(const Served&, const HttpRequest&, const Reply&);
  const auto add = [&](const char* path, Answer answer) {
    AddApi(routes, "POST", path, [&served, answer](const HttpRequest& request, const Reply& reply) {
      answer(served, request, reply);
    });
  };
  add("/chat/completions", AnswerChat);
  add("/completions", AnswerCompletion);
  add("/embeddings", AnswerEmbeddings);
  return routes;
}

}  // namespace linnet
