// The APIs that keep conversations, with a real engine and a tiny model, but without a network. Its answers
// are letters: other tokens are biased away, so that they are text that can be read again.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "infer/tiny_model.h"
#include "serve/conversations.h"
#include "serve/fake_reply.h"
#include "serve/openai.h"
#include "serve/openai_json.h"
#include "serve/responses.h"
#include "serve/router.h"
#include "serve/states_api.h"
#include "serve/variants.h"

namespace linnet {

/// What all servers of a test share.
inline const LoadedModel& SharedModel() {
  static const LoadedModel model = TinyModel();
  return model;
}

class ConversationServer {
 public:
  /// `store` must outlive this.
  explicit ConversationServer(StateStore& store, const std::vector<std::string>& loras = {},
                              const std::vector<std::string>& states = {})
      : engine_(SharedModel(), tokenizer_, {.slots = 4}),
        variants_(SharedModel(), tokenizer_, loras, states),
        conversations_(store) {
    served_.engine = &engine_;
    served_.tokenizer = &tokenizer_;
    served_.name = "tiny";
    served_.chat = &FindChatTemplate("instruct");
    served_.think = &FindThinkForm("off");
    served_.conversations = &conversations_;
    served_.variant_of = [this](const std::string& lora, const std::string& state) {
      return variants_.Of(lora, state);
    };
    for (auto routes : {OpenAiRoutes(served_), ResponsesRoutes(served_, conversations_),
                        StatesRoutes(served_, conversations_)})
      routes_.insert(routes_.end(), routes.begin(), routes.end());
  }

  std::shared_ptr<FakeReply> Ask(const std::string& method, const std::string& target, std::string body = "",
                                 const std::string& client = "") {
    HttpRequest request;
    request.method = method;
    SetTarget(request, target);
    request.body = std::move(body);
    const Router router({}, routes_);
    auto reply = std::make_shared<FakeReply>();
    const HttpRoute& route = router.Find(request);
    request.client = client;
    Router::Answer(route, request, reply);
    reply->Wait();
    return reply;
  }
  Json Call(const std::string& method, const std::string& target, const Json& body = Json(), int status = 200,
            const std::string& client = "") {
    const auto reply = Ask(method, target, body.is_null() ? "" : body.dump(), client);
    EXPECT_EQ(reply->status, status) << method << " " << target << ": " << reply->body;
    return Json::parse(reply->body);
  }
  Json Post(const std::string& target, const Json& body, int status = 200) {
    return Call("POST", target, body, status);
  }

  /// A request whose answer is letters.
  static Json Request(Json more) {
    Json body = {{"model", "tiny"}, {"seed", 5}, {"temperature", 0.1}, {"logit_bias", Json::object()}};
    for (char c = 'a'; c <= 'z'; ++c) body["logit_bias"][std::to_string(c)] = 100;
    if (!more.is_null()) body.update(more);
    return body;
  }
  /// A /v1/responses request.
  static Json Input(const Json& input, Json more = Json::object()) {
    Json body =
        Request({{"input", input}, {"max_output_tokens", 12}, {"include", {"message.output_text.logprobs"}}});
    body.update(more);
    return body;
  }
  Json Respond(const Json& input, Json more = Json::object(), int status = 200) {
    return Post("/v1/responses", Input(input, std::move(more)), status);
  }
  /// The text of a response.
  static std::string TextOf(const Json& response) {
    return response["output"].back()["content"][0]["text"].get<std::string>();
  }
  /// The text with the logprobs of its tokens, which tell even where texts are the same by chance.
  static std::string Exactly(const Json& response) { return response["output"].back()["content"].dump(); }

  const Tokenizer& tokenizer() const { return tokenizer_; }
  Conversations& conversations() { return conversations_; }

 private:
  BytesTokenizer tokenizer_;
  Engine engine_;
  Variants variants_;
  Conversations conversations_;
  Served served_;
  std::vector<HttpRoute> routes_;
};

inline Json Message(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

}  // namespace linnet
