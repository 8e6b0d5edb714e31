// Ollama's API with a real engine and a tiny model whose texts mean nothing.
#include "serve/ollama.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "infer/tiny_model.h"
#include "serve/fake_reply.h"
#include "serve/router.h"
#include "serve/tokenizer_api.h"

namespace linnet {
namespace {

class OllamaTest : public testing::Test {
 protected:
  OllamaTest() : model_(TinyModel()), engine_(model_, tokenizer_, {.slots = 4}) {
    served_.engine = &engine_;
    served_.tokenizer = &tokenizer_;
    served_.name = "tiny";
    served_.fingerprint = "linnet-test";
    served_.chat = &FindChatTemplate("g1");
    served_.think = &FindThinkForm("off");
    routes_ = OllamaRoutes(served_);
    for (HttpRoute& route : TokenizerRoutes(served_)) routes_.push_back(std::move(route));
  }

  std::shared_ptr<FakeReply> Ask(const std::string& method, const std::string& path, const Json& body = {}) {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.body = body.is_null() ? "" : body.dump();
    const Router router({}, routes_);
    auto reply = std::make_shared<FakeReply>();
    Router::Answer(router.Find(request), request, reply);
    reply->Wait();
    return reply;
  }
  Json Get(const std::string& path) { return Json::parse(Ask("GET", path)->body); }
  Json Post(const std::string& path, const Json& body, int status = 200) {
    const auto reply = Ask("POST", path, body);
    EXPECT_EQ(reply->status, status) << reply->body;
    return Json::parse(reply->body);
  }
  std::vector<Json> Stream(const std::string& path, const Json& body) {
    const auto reply = Ask("POST", path, body);
    EXPECT_EQ(reply->status, 200) << reply->body;
    EXPECT_EQ(reply->content_type, "application/x-ndjson");
    std::vector<Json> lines;
    for (const std::string& piece : reply->pieces) {
      EXPECT_TRUE(piece.ends_with("\n") && piece.find('\n') == piece.size() - 1) << piece;
      lines.push_back(Json::parse(piece));
    }
    return lines;
  }

  static Json Chat(const Json& more = Json::object()) {
    Json body = {{"model", "tiny"},
                 {"messages", {{{"role", "user"}, {"content", "What is a state?"}}}},
                 {"options", {{"num_predict", 30}, {"seed", 1}, {"temperature", 1}}}};
    body.update(more);
    return body;
  }
  static Json Generate(const Json& more = Json::object()) {
    Json body = {{"model", "tiny"}, {"prompt", "A state"}, {"options", {{"num_predict", 30}, {"seed", 1}}}};
    body.update(more);
    return body;
  }

  LoadedModel model_;
  BytesTokenizer tokenizer_;
  Engine engine_;
  Served served_;
  std::vector<HttpRoute> routes_;
};

TEST_F(OllamaTest, SaysWhatItHas) {
  const Json tag = Get("/api/tags")["models"].at(0);
  EXPECT_EQ(tag["name"], "tiny:latest");
  EXPECT_EQ(tag["digest"].get<std::string>().size(), 64u);
  EXPECT_EQ(tag["details"]["family"], "rwkv7");
  EXPECT_GT(tag["size"], 1000);
  EXPECT_EQ(Get("/api/ps")["models"].at(0)["digest"], tag["digest"]);
  EXPECT_TRUE(Get("/api/version")["version"].is_string());
  const Json shown = Post("/api/show", {{"model", "tiny"}});
  EXPECT_EQ(shown["capabilities"], Json({"completion", "embedding", "tools", "thinking"}));
  EXPECT_EQ(shown["model_info"]["rwkv7.context_length"], served_.max_prompt_tokens);
  EXPECT_EQ(shown["model_info"]["rwkv7.embedding_length"], 32);
  EXPECT_EQ(Post("/api/show", {{"name", "tiny:latest"}}), shown);
}

TEST_F(OllamaTest, AChatIsTheSameAsAStreamAndWhole) {
  const Json whole = Post("/api/chat", Chat({{"stream", false}}));
  EXPECT_EQ(whole["model"], "tiny");
  EXPECT_EQ(whole["message"]["role"], "assistant");
  EXPECT_EQ(whole["done"], true);
  EXPECT_EQ(whole["done_reason"], "length");
  EXPECT_EQ(whole["eval_count"], 30);
  EXPECT_GT(whole["total_duration"], 0);
  EXPECT_GT(whole["prompt_eval_count"], 10);
  std::string text;
  const std::vector<Json> lines = Stream("/api/chat", Chat());
  for (const Json& line : lines) {
    text += line["message"]["content"].get<std::string>();
    EXPECT_EQ(line["done"], &line == &lines.back());
    EXPECT_EQ(line["created_at"].get<std::string>().size(), 20u);
  }
  EXPECT_EQ(text, whole["message"]["content"]);
  EXPECT_EQ(lines.back()["done_reason"], "length");
  EXPECT_TRUE(lines.back().contains("eval_duration"));
}

TEST_F(OllamaTest, GeneratesWithAndWithoutATemplate) {
  const Json whole = Post("/api/generate", Generate({{"stream", false}}));
  EXPECT_TRUE(whole["response"].is_string());
  EXPECT_GT(whole["prompt_eval_count"], 7);
  const Json raw = Post("/api/generate", Generate({{"stream", false}, {"raw", true}}));
  EXPECT_EQ(raw["prompt_eval_count"], 7);
  std::string text;
  for (const Json& line : Stream("/api/generate", Generate({{"raw", true}})))
    text += line["response"].get<std::string>();
  EXPECT_EQ(text, raw["response"]);
}

TEST_F(OllamaTest, AContextGoesOn) {
  const Json first = Post("/api/generate", Generate({{"stream", false}}));
  const Json context = first.at("context");
  ASSERT_GT(context.size(), first["prompt_eval_count"].get<size_t>());
  const Json more = {{"prompt", "And then?"}, {"context", context}, {"stream", false}};
  const int64_t known = engine_.Figures().cached_tokens;
  const Json second = Post("/api/generate", Generate(more));
  EXPECT_EQ(engine_.Figures().cached_tokens - known, static_cast<int64_t>(context.size()));
  EXPECT_GT(second["prompt_eval_count"], context.size());
  EXPECT_EQ(Json(second["context"].begin(), second["context"].begin() + context.size()), context);
  // A server that has forgotten it reads it again.
  Engine other(model_, tokenizer_, {.slots = 1, .cache_bytes = 0});
  served_.engine = &other;
  EXPECT_EQ(Post("/api/generate", Generate(more))["response"], second["response"]);
  for (const Json& wrong : {Json("x"), Json({"a"}), Json({{1}, {2}}), Json({100000}), Json({-1})})
    Post("/api/generate", Generate({{"context", wrong}}), 400);
  Post("/api/generate", Generate({{"context", context}, {"raw", true}}), 400);
  served_.engine = &engine_;
}

TEST_F(OllamaTest, LogprobsComeWithTheText) {
  for (const bool raw : {false, true}) {
    const Json asked = Generate({{"raw", raw}, {"logprobs", true}, {"top_logprobs", 2}, {"stream", false}});
    const Json whole = Post("/api/generate", asked);
    ASSERT_EQ(whole["logprobs"].size(), whole["eval_count"].get<size_t>());
    for (const Json& entry : whole["logprobs"]) {
      EXPECT_LE(entry["logprob"], entry["top_logprobs"].at(0)["logprob"]);
      EXPECT_TRUE(entry["token"].is_string());
    }
    Json streamed = asked, list = Json::array();
    streamed["stream"] = true;
    for (const Json& line : Stream("/api/generate", streamed)) {
      if (line.contains("logprobs"))
        list.insert(list.end(), line["logprobs"].begin(), line["logprobs"].end());
    }
    EXPECT_EQ(list, whole["logprobs"]);
  }
  EXPECT_FALSE(Post("/api/chat", Chat({{"stream", false}})).contains("logprobs"));
  Post("/api/chat", Chat({{"top_logprobs", 2}}), 400);
}

TEST_F(OllamaTest, NothingAskedOnlyLoads) {
  EXPECT_EQ(Post("/api/generate", {{"model", "tiny"}})["done_reason"], "load");
  EXPECT_EQ(Post("/api/chat", {{"model", "tiny"}, {"messages", Json::array()}})["done_reason"], "load");
  EXPECT_EQ(Post("/api/generate", {{"model", "tiny"}, {"keep_alive", 0}})["done_reason"], "unload");
}

TEST_F(OllamaTest, FormatsAreKept) {
  const Json schema = {{"type", "object"},
                       {"properties", {{"n", {{"type", "integer"}}}, {"ok", {{"type", "boolean"}}}}},
                       {"required", {"n", "ok"}}};
  for (uint64_t seed = 0; seed < 5; ++seed) {
    Json body = Chat({{"stream", false}, {"format", schema}});
    body["options"] = {{"num_predict", 200}, {"seed", seed}};
    const Json answer = Post("/api/chat", body);
    ASSERT_EQ(answer["done_reason"], "stop") << answer;
    const Json value = Json::parse(answer["message"]["content"].get<std::string>());
    EXPECT_TRUE(value.at("n").is_number_integer() && value.at("ok").is_boolean()) << value;
  }
}

TEST_F(OllamaTest, ThoughtComesApart) {
  const Json answer = Post("/api/chat", Chat({{"stream", false},
                                              {"think", true},
                                              {"grammar", "root ::= \"yes\""},
                                              {"options", {{"num_predict", 2000}, {"seed", 3}}}}));
  EXPECT_TRUE(answer["message"].contains("thinking")) << answer;
}

TEST_F(OllamaTest, CallsOfToolsComeAsObjects) {
  const Json tools = {{{"type", "function"},
                       {"function",
                        {{"name", "add"},
                         {"parameters",
                          {{"type", "object"},
                           {"properties", {{"a", {{"type", "integer"}, {"minimum", 0}, {"maximum", 99}}}}},
                           {"required", {"a"}}}}}}}};
  const Json body =
      Chat({{"tools", tools}, {"tool_choice", "required"}, {"options", {{"num_predict", 300}, {"seed", 1}}}});
  Json call;
  for (const Json& line : Stream("/api/chat", body))
    if (line["message"].contains("tool_calls")) call = line["message"]["tool_calls"].at(0)["function"];
  EXPECT_EQ(call["name"], "add");
  EXPECT_TRUE(call["arguments"]["a"].is_number_integer());
  // And its result goes back.
  const Json next = Chat({{"tools", tools},
                          {"stream", false},
                          {"messages",
                           {{{"role", "user"}, {"content", "1 + 2?"}},
                            {{"role", "assistant"}, {"content", ""}, {"tool_calls", {{{"function", call}}}}},
                            {{"role", "tool"}, {"tool_name", "add"}, {"content", "3"}}}}});
  EXPECT_EQ(Post("/api/chat", next)["done"], true);
}

TEST_F(OllamaTest, CallsThatAreNotWholeAreText) {
  const Json tools = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  const std::string call = R"({\"name\":\"f\",\"arguments\":{)";
  const auto asked = [&](const std::string& rest, int most) {
    return Chat({{"tools", tools},
                 {"grammar", "root ::= \"Now. ```json\\n" + call + rest + "}\\n```\""},
                 {"options", {{"num_predict", most}, {"seed", 1}}}});
  };
  for (const auto& [rest, most] : {std::pair{"}", 100}, std::pair{"a}", 100}, std::pair{"}", 38}}) {
    std::string text;
    size_t calls = 0;
    for (const Json& line : Stream("/api/chat", asked(rest, most))) {
      text += line["message"]["content"].get<std::string>();
      if (line["message"].contains("tool_calls")) calls += line["message"]["tool_calls"].size();
    }
    const bool whole = most == 100 && rest == std::string("}");
    EXPECT_EQ(calls, whole ? 1u : 0u);
    EXPECT_EQ(text.find("```json\n{\"name\":\"f\"") == std::string::npos, whole) << text;
    Json body = asked(rest, most);
    body["stream"] = false;
    const Json message = Post("/api/chat", body)["message"];
    EXPECT_EQ(message.contains("tool_calls"), whole);
    EXPECT_EQ(message["content"], text);
  }
}

TEST_F(OllamaTest, Embeds) {
  const Json both = Post("/api/embed", {{"model", "tiny"}, {"input", {"a state", "a song"}}});
  ASSERT_EQ(both["embeddings"].size(), 2u);
  EXPECT_EQ(both["embeddings"][0].size(), 32u);
  EXPECT_GT(both["prompt_eval_count"], 10);
  EXPECT_EQ(Post("/api/embeddings", {{"model", "tiny"}, {"prompt", "a song"}})["embedding"],
            both["embeddings"][1]);
  EXPECT_EQ(Post("/api/embed", {{"model", "tiny"}, {"input", Json::array()}})["embeddings"], Json::array());
}

TEST_F(OllamaTest, ErrorsAreSentences) {
  const auto error = [&](const char* path, const Json& body, int status) {
    return Post(path, body, status)["error"].get<std::string>();
  };
  EXPECT_NE(error("/api/chat", Chat({{"model", "other"}}), 404).find("model 'other' not found"),
            std::string::npos);
  EXPECT_EQ(error("/api/chat", {{"messages", Json::array()}}, 400), "model is required");
  EXPECT_NE(error("/api/pull", {{"model", "x"}}, 501).find("not supported"), std::string::npos);
  EXPECT_NE(error("/api/chat", Chat({{"options", {{"mirostat", 1}}}}), 400).find("options.mirostat"),
            std::string::npos);
  EXPECT_NE(error("/api/chat", Chat({{"options", {{"temperature", -1}}}}), 400).find("temperature"),
            std::string::npos);
  EXPECT_NE(error("/api/chat", Chat({{"options", {{"repeat_penalty", 1.1}, {"repeat_last_n", 64}}}}), 400)
                .find("repeat_last_n"),
            std::string::npos);
  EXPECT_NE(error("/api/chat", Chat({{"format", {{"type", "x"}}}}), 400).find("type"), std::string::npos);
  EXPECT_NE(error("/api/generate", Generate({{"suffix", "x"}}), 400).find("suffix"), std::string::npos);
  EXPECT_NE(error("/api/chat", Chat({{"think", "very"}}), 400).find("think"), std::string::npos);
  EXPECT_NE(error("/api/chat",
                  Chat({{"messages", {{{"role", "user"}, {"content", "x"}, {"images", {"aGk="}}}}}}), 400)
                .find("images"),
            std::string::npos);
  served_.chat = &FindChatTemplate("question");
  EXPECT_NE(error("/api/chat", Chat({{"think", true}}), 400).find("does not support thinking"),
            std::string::npos);
}

TEST_F(OllamaTest, OptionsReachTheSampler) {
  const Json words = OllamaInOpenAiWords({{"options",
                                           {{"num_predict", -1},
                                            {"repeat_penalty", 1.2},
                                            {"top_k", 5},
                                            {"mirostat", 2},
                                            {"stop", {"x"}},
                                            {"num_ctx", 4096}}},
                                          {"think", false}},
                                         Json::array(), served_);
  EXPECT_EQ(words["max_tokens"], served_.max_tokens);
  EXPECT_EQ(words["repetition_penalty"], 1.2);
  EXPECT_EQ(words["top_k"], 5);
  EXPECT_EQ(words["mirostat_tau"], 5);
  EXPECT_EQ(words["stop"], Json({"x"}));
  EXPECT_EQ(words["reasoning_effort"], "none");
}

TEST_F(OllamaTest, TokenizerForClients) {
  EXPECT_EQ(Post("/tokenize", {{"prompt", "ab"}, {"add_special_tokens", false}})["tokens"], Json({97, 98}));
  EXPECT_EQ(Post("/v1/tokenize", {{"prompt", "ab"}, {"add_special_tokens", true}})["tokens"],
            Json({0, 97, 98}));
  const Json info = Get("/tokenizer_info");
  EXPECT_EQ(Post("/tokenize", {{"prompt", info["eos_token"]}})["tokens"], Json::array({0}));
  EXPECT_EQ(Post("/detokenize", {{"tokens", {97, 98}}})["prompt"], "ab");
  EXPECT_EQ(Post("/detokenize", {{"tokens", {300}}}, 400)["error"]["param"], "tokens");
  EXPECT_EQ(Post("/tokenize", {{"prompt", 1}}, 400)["error"]["param"], "prompt");
  EXPECT_NE(info["chat_template"].get<std::string>().find("'\\n\\nAssistant:'"), std::string::npos);
}

}  // namespace
}  // namespace linnet
