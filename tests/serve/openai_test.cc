// OpenAI's API with a real engine and a tiny model whose texts mean nothing.
#include "serve/openai.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "infer/embedding.h"
#include "infer/generator.h"
#include "infer/passages.h"
#include "infer/tiny_model.h"
#include "serve/fake_reply.h"
#include "serve/router.h"
#include "text/utf8.h"

namespace linnet {
namespace {

class OpenAiTest : public testing::Test {
 protected:
  OpenAiTest() : model_(TinyModel()), engine_(model_, tokenizer_, {.slots = 4}) {
    served_.engine = &engine_;
    served_.tokenizer = &tokenizer_;
    served_.name = "tiny";
    served_.fingerprint = "linnet-test";
    served_.chat = &FindChatTemplate("question");
    served_.think = &FindThinkForm("off");
    routes_ = OpenAiRoutes(served_);
  }

  std::shared_ptr<FakeReply> Begin(const std::string& method, const std::string& path,
                                   const std::string& body = "") {
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.body = body;
    const Router router({}, routes_);
    auto reply = std::make_shared<FakeReply>();
    Router::Answer(router.Find(request), request, reply);
    return reply;
  }
  std::shared_ptr<FakeReply> Ask(const std::string& method, const std::string& path,
                                 const std::string& body = "") {
    auto reply = Begin(method, path, body);
    reply->Wait();
    return reply;
  }
  Json Post(const std::string& path, const Json& body, int status = 200) {
    const auto reply = Ask("POST", path, body.dump());
    EXPECT_EQ(reply->status, status) << reply->body;
    return Json::parse(reply->body);
  }
  /// The objects of a stream; checks its framing.
  std::vector<Json> Stream(const std::string& path, Json body) {
    body["stream"] = true;
    const auto reply = Ask("POST", path, body.dump());
    EXPECT_EQ(reply->status, 200) << reply->body;
    EXPECT_EQ(reply->content_type, "text/event-stream; charset=utf-8");
    std::vector<Json> chunks;
    for (size_t i = 0; i < reply->pieces.size(); ++i) {
      const std::string& piece = reply->pieces[i];
      EXPECT_TRUE(piece.starts_with("data: ") && piece.ends_with("\n\n")) << piece;
      const bool last = i + 1 == reply->pieces.size();
      EXPECT_EQ(piece == "data: [DONE]\n\n", last);
      if (!last) chunks.push_back(Json::parse(piece.substr(6)));
    }
    return chunks;
  }

  static Json Chat(Json more = Json::object()) {
    Json body = {{"model", "tiny"},
                 {"messages", {{{"role", "user"}, {"content", "What is a state?"}}}},
                 {"max_tokens", 24},
                 {"seed", 1},
                 {"temperature", 1}};
    body.update(more);
    return body;
  }

  LoadedModel model_;
  BytesTokenizer tokenizer_;
  Engine engine_;
  Served served_;
  std::vector<HttpRoute> routes_;
};

TEST_F(OpenAiTest, ListsWhatRequestsMayNameBesideTheModel) {
  EXPECT_FALSE(Json::parse(Ask("GET", "/v1/models")->body).contains("loras"));
  served_.lora_names = {"pirate"};
  served_.state_names = {"calm", "terse"};
  const Json list = Json::parse(Ask("GET", "/v1/models")->body);
  EXPECT_EQ(list["data"].size(), 1u);
  EXPECT_EQ(list["loras"], Json({"pirate"}));
  EXPECT_EQ(list["states"], Json({"calm", "terse"}));
}

TEST_F(OpenAiTest, ListsItsModel) {
  for (const char* path : {"/v1/models", "/models"}) {
    const Json list = Json::parse(Ask("GET", path)->body);
    EXPECT_EQ(list["object"], "list");
    EXPECT_EQ(list["data"][0]["id"], "tiny");
    EXPECT_EQ(list["data"][0]["object"], "model");
  }
  EXPECT_EQ(Json::parse(Ask("GET", "/v1/models/tiny")->body)["id"], "tiny");
  const auto missing = Ask("GET", "/v1/models/gpt");
  EXPECT_EQ(missing->status, 404);
  EXPECT_EQ(Json::parse(missing->body)["error"]["code"], "model_not_found");
}

TEST_F(OpenAiTest, AChatIsAnsweredAndStreamedAlike) {
  const Json whole = Post("/v1/chat/completions", Chat());
  EXPECT_EQ(whole["object"], "chat.completion");
  const Json& choice = whole["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(whole["usage"]["completion_tokens"], 24);
  EXPECT_EQ(whole["usage"]["prompt_tokens"], std::string("Question: What is a state?\nAnswer:").size());

  std::string text;
  const std::vector<Json> chunks =
      Stream("/v1/chat/completions", Chat({{"stream_options", {{"include_usage", true}}}}));
  EXPECT_EQ(chunks.front()["choices"][0]["delta"], (Json{{"role", "assistant"}, {"content", ""}}));
  for (const Json& chunk : chunks) {
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["id"], chunks.front()["id"]);
    EXPECT_EQ(chunk["created"], chunks.front()["created"]);
  }
  for (size_t i = 0; i + 1 < chunks.size(); ++i) {
    const Json& part = chunks[i]["choices"][0];
    text += part["delta"].value("content", "");
    EXPECT_TRUE(chunks[i]["usage"].is_null());
    const bool last = i + 2 == chunks.size();
    EXPECT_EQ(part["finish_reason"], last ? Json("length") : Json());
  }
  EXPECT_EQ(text, choice["message"]["content"]);
  EXPECT_EQ(chunks.back()["choices"], Json::array());
  EXPECT_EQ(chunks.back()["usage"]["completion_tokens"], 24);
}

/// Pieces of text are written without the JSON library, and must be what it would write.
TEST_F(OpenAiTest, PiecesAreAsTheJsonLibraryWritesThem) {
  const std::string text = "\"a\\b\" \b\f\n\r\t\x01\x1f\x7f</> \xE4\xB8\x80\xF0\x9F\x90\xA6.";
  std::string grammar = "root ::= ";
  for (const unsigned char c : text.substr(0, text.find('\xE4'))) grammar += fmt::format(R"("\x{:02x}" )", c);
  grammar += R"("\u4e00\U0001f426.")";
  served_.chat = &FindChatTemplate("plain");
  for (const char* path : {"/v1/completions", "/v1/chat/completions"}) {
    for (const bool usage : {false, true}) {
      Json body = Chat({{"prompt", "x"}, {"grammar", grammar}, {"stream", true}, {"max_tokens", 100}});
      if (usage) body["stream_options"] = {{"include_usage", true}};
      if (path == std::string("/v1/completions")) body.erase("messages");
      std::string seen;
      const auto reply = Ask("POST", path, body.dump());
      ASSERT_EQ(reply->status, 200) << reply->body;
      for (const std::string& piece : reply->pieces) {
        if (piece == "data: [DONE]\n\n") continue;
        const Json chunk = Json::parse(piece.substr(6));
        EXPECT_EQ(piece, "data: " + chunk.dump() + "\n\n");
        if (chunk["choices"].empty()) continue;
        const Json& choice = chunk["choices"][0];
        EXPECT_EQ(chunk.contains("usage"), usage);
        seen += choice.contains("delta") ? choice["delta"].value("content", "") : choice.value("text", "");
      }
      if (seen.starts_with(' ')) seen.erase(0, 1);  // that may stand before an answer
      EXPECT_EQ(seen, text);
    }
  }
}

TEST_F(OpenAiTest, TheTextIsThatOfGenerate) {
  GenerateOptions options;
  options.max_tokens = 24;
  options.seed = 5;
  std::string text;
  options.on_text = [&](std::string_view piece) { text += piece; };
  Generate(model_, tokenizer_, tokenizer_.Encode("A text"), options);
  Utf8Stream valid(Utf8Stream::Mode::kValid);
  const std::string expected = valid.Push(text) + valid.Finish();
  const Json reply = Post("/v1/completions", {{"prompt", "A text"}, {"max_tokens", 24}, {"seed", 5}});
  EXPECT_EQ(reply["choices"][0]["text"], expected);
  std::string streamed;
  for (const Json& chunk : Stream("/v1/completions", {{"prompt", "A text"}, {"max_tokens", 24}, {"seed", 5}}))
    streamed += chunk["choices"][0]["text"];
  EXPECT_EQ(streamed, expected);
}

TEST_F(OpenAiTest, ASecondTurnReadsOnlyWhatIsNew) {
  const Json first = Post("/v1/chat/completions", Chat());
  Json messages = Chat()["messages"];
  messages.push_back(first["choices"][0]["message"]);
  messages.push_back({{"role", "user"}, {"content", "And then?"}});
  const Json second = Post("/v1/chat/completions", Chat({{"messages", messages}}));
  const int64_t cached = second["usage"]["prompt_tokens_details"]["cached_tokens"];
  const int64_t prompt = second["usage"]["prompt_tokens"];
  EXPECT_GE(cached, first["usage"]["prompt_tokens"].get<int64_t>());
  EXPECT_EQ(prompt - cached, static_cast<int64_t>(std::string("\n\nQuestion: And then?\nAnswer:").size()));
}

TEST_F(OpenAiTest, AServerThatStopsSendsRequestsElsewhere) {
  engine_.Drain(std::chrono::seconds(1));
  for (const char* path : {"/v1/chat/completions", "/v1/completions"}) {
    Json body = Chat();
    body["prompt"] = "A";
    const auto reply = Ask("POST", path, body.dump());
    EXPECT_EQ(reply->status, 503);
    EXPECT_EQ(reply->headers, (HttpHeaders{{"Retry-After", "5"}}));
    EXPECT_EQ(Json::parse(reply->body)["error"]["code"], "stopping");
  }
}

TEST_F(OpenAiTest, ChoicesHaveSeedsOfTheirOwn) {
  const Json reply = Post("/v1/chat/completions", Chat({{"n", 3}}));
  ASSERT_EQ(reply["choices"].size(), 3u);
  EXPECT_NE(reply["choices"][0]["message"], reply["choices"][1]["message"]);
  EXPECT_EQ(reply["choices"][2]["index"], 2);
  EXPECT_EQ(reply["usage"]["completion_tokens"], 72);
  const Json third = Post("/v1/chat/completions", Chat({{"seed", 3}}));
  EXPECT_EQ(third["choices"][0]["message"], reply["choices"][2]["message"]);
}

TEST_F(OpenAiTest, LogprobsOfAChat) {
  const Json reply = Post("/v1/chat/completions", Chat({{"logprobs", true}, {"top_logprobs", 3}}));
  const Json& content = reply["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 24u);
  for (const Json& entry : content) {
    ASSERT_EQ(entry["top_logprobs"].size(), 3u);
    EXPECT_LE(entry["logprob"], entry["top_logprobs"][0]["logprob"]);
    EXPECT_EQ(entry["bytes"].size(), 1u);
  }
  size_t streamed = 0;
  for (const Json& chunk : Stream("/v1/chat/completions", Chat({{"logprobs", true}}))) {
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (!logprobs.is_null()) streamed += logprobs["content"].size();
  }
  EXPECT_EQ(streamed, 24u);
}

/// A client that scores texts leaves out the last entry, so there must be one where the text ends at once.
TEST_F(OpenAiTest, EchoedLogprobsHaveTheEndOfTheText) {
  const Json request = {{"prompt", {0, 1, 2}},
                        {"max_tokens", 5},
                        {"logprobs", 1},
                        {"echo", true},
                        {"logit_bias", {{"0", 100}}}};
  const Json whole = Post("/v1/completions", request)["choices"][0]["logprobs"];
  Json streamed = Json::array();
  for (const Json& chunk : Stream("/v1/completions", request)) {
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (!logprobs.is_null())
      for (const Json& value : logprobs["token_logprobs"]) streamed.push_back(value);
  }
  ASSERT_EQ(whole["token_logprobs"].size(), 4u);
  EXPECT_LT(whole["token_logprobs"].back(), 0);
  EXPECT_EQ(streamed, whole["token_logprobs"]);
}

/// What lm-evaluation-harness asks for, to score a text: the sums must be those of `linnet eval`.
TEST_F(OpenAiTest, EchoedLogprobsAreThoseOfEval) {
  std::vector<int> tokens = tokenizer_.Encode("A text to score, \xE4\xB8\x80 and all");
  tokens.insert(tokens.begin(), Tokenizer::kEndOfText);
  const Json reply = Post("/v1/completions", {{"prompt", {tokens, {1, 2}}},
                                              {"temperature", 0},
                                              {"max_tokens", 1},
                                              {"logprobs", 1},
                                              {"seed", 1234},
                                              {"echo", true}});
  ASSERT_EQ(reply["choices"].size(), 2u);
  const Json& logprobs = reply["choices"][0]["logprobs"];
  for (const char* list : {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
    ASSERT_EQ(logprobs[list].size(), tokens.size() + 1) << list;
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());

  PassageReader reader(model_);
  size_t at = 1;
  bool given = false;
  const auto next = [&](Passage& passage) {
    if (std::exchange(given, true)) return false;
    passage = Predicting(tokens);
    return true;
  };
  ScorePassages(*model_.model, reader, next, [&](int64_t, const Passage&, size_t, const TokenScore& score) {
    EXPECT_EQ(logprobs["token_logprobs"][at].get<double>(), -score.loss) << at;
    const Json& top = logprobs["top_logprobs"][at];
    std::string best;
    for (const auto& [name, logprob] : top.items()) {
      if (best.empty() || top[best] < logprob) best = name;
    }
    EXPECT_EQ(best == logprobs["tokens"][at].get<std::string>(), score.likeliest) << at;
    ++at;
  });
  EXPECT_EQ(at, tokens.size());
}

TEST_F(OpenAiTest, PromptsComeInAllForms) {
  const auto texts = [&](const Json& prompt) {
    const Json reply =
        Post("/v1/completions", {{"prompt", prompt}, {"max_tokens", 3}, {"seed", 1}, {"echo", true}});
    std::vector<std::string> all;
    for (const Json& choice : reply["choices"]) all.push_back(choice["text"]);
    return all;
  };
  const auto one = texts("ab");
  EXPECT_TRUE(one[0].starts_with("ab"));
  EXPECT_EQ(texts({97, 98}), one);
  EXPECT_EQ(texts({"ab", "ab"}), (std::vector<std::string>{one[0], one[0]}));
  EXPECT_EQ(texts(Json::array({Json::array({97, 98})})), one);
  EXPECT_EQ(texts("").size(), 1u);
  for (const Json& bad :
       {Json(5), Json::array({97, "b"}), Json::array({300}), Json::array({-1}), Json::array({1.5}), Json()}) {
    const Json error = Post("/v1/completions", {{"prompt", bad}}, 400);
    EXPECT_EQ(error["error"]["param"], "prompt") << bad;
  }
}

TEST_F(OpenAiTest, StopsNeverShow) {
  const Json free = Post("/v1/completions", {{"prompt", "x"}, {"max_tokens", 40}, {"seed", 2}});
  const std::string text = free["choices"][0]["text"];
  ASSERT_GT(text.size(), 12u);
  // Valid characters in a row, that come late enough.
  const size_t at = text.find_first_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ", 6);
  ASSERT_NE(at, std::string::npos);
  const std::string stop = text.substr(at, 1);
  const Json cut =
      Post("/v1/completions", {{"prompt", "x"}, {"max_tokens", 40}, {"seed", 2}, {"stop", {stop}}});
  EXPECT_EQ(cut["choices"][0]["text"], text.substr(0, text.find(stop)));
  EXPECT_EQ(cut["choices"][0]["finish_reason"], "stop");
}

TEST_F(OpenAiTest, EmbeddingsAreThoseOfEmbed) {
  std::vector<float> expected;
  bool given = false;
  EmbedTexts(
      model_, tokenizer_, Pooling::kMean,
      [&](std::string& text) {
        text = "a text";
        return !std::exchange(given, true);
      },
      [&](int64_t, Embedding embedding) { expected = std::move(embedding.values); });
  Normalize(expected);
  const Json reply = Post("/v1/embeddings", {{"input", {"a text", ""}}});
  ASSERT_EQ(reply["data"].size(), 2u);
  const std::vector<float> actual = reply["data"][0]["embedding"];
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 1e-6);
  const Json packed = Post("/v1/embeddings", {{"input", "a text"}, {"encoding_format", "base64"}});
  EXPECT_EQ(packed["data"][0]["embedding"].get<std::string>().size(), (expected.size() * 4 + 2) / 3 * 4);
  EXPECT_EQ(Post("/v1/embeddings", {{"input", "a"}, {"encoding_format", "x"}}, 400)["error"]["param"],
            "encoding_format");
  EXPECT_EQ(Post("/v1/embeddings", {{"input", "a"}, {"dimensions", 8}}, 400)["error"]["param"], "dimensions");
}

/// With parallel_tool_calls false the text ends behind the first call, and the place after it is one of the
/// text that clients send back.
TEST_F(OpenAiTest, AnAnswerEndsAfterItsFirstCall) {
  served_.chat = &FindChatTemplate("g1");
  const std::string first = "```json\n{\"name\":\"now\",\"arguments\":{\"zone\":\"CET\"}";
  const std::string text = first + "}\n{\"name\":\"now\",\"arguments\":{}}\n``` Done.";
  Json body = Chat({{"tools", {{{"type", "function"}, {"function", {{"name", "now"}}}}}},
                    {"grammar", "root ::= " + Json(text).dump()},
                    {"max_tokens", 200}});
  EXPECT_EQ(Post("/v1/chat/completions", body)["choices"][0]["message"]["tool_calls"].size(), 2u);
  body["parallel_tool_calls"] = false;
  const Json whole = Post("/v1/chat/completions", body);
  const Json& message = whole["choices"][0]["message"];
  ASSERT_EQ(message["tool_calls"].size(), 1u);
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"], "{\"zone\":\"CET\"}");
  EXPECT_EQ(message["content"], nullptr);
  EXPECT_EQ(whole["choices"][0]["finish_reason"], "tool_calls");
  EXPECT_EQ(whole["usage"]["completion_tokens"], first.size());

  size_t calls = 0;
  std::string arguments, reason;
  for (const Json& chunk : Stream("/v1/chat/completions", body)) {
    const Json& choice = chunk["choices"][0];
    for (const Json& piece : choice["delta"].value("tool_calls", Json::array())) {
      calls += piece.contains("id");
      arguments += piece["function"].value("arguments", "");
    }
    if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
  }
  EXPECT_EQ(calls, 1u);
  EXPECT_EQ(arguments, "{\"zone\":\"CET\"}");
  EXPECT_EQ(reason, "tool_calls");

  body["messages"].push_back(message);
  body["messages"].push_back({{"role", "tool"}, {"content", "noon"}});
  const Json next = Post("/v1/chat/completions", body);
  EXPECT_EQ(next["usage"]["prompt_tokens"].get<size_t>() -
                next["usage"]["prompt_tokens_details"]["cached_tokens"].get<size_t>(),
            std::string("\n\nUser: Function output:\nnoon\n\nAssistant:").size());
}

TEST_F(OpenAiTest, AnEmptySuffixIsNone) {
  const Json request = {{"prompt", "a"}, {"max_tokens", 3}, {"seed", 1}};
  const Json expected = Post("/v1/completions", request)["choices"];
  for (const Json& suffix : {Json(""), Json()}) {
    Json body = request;
    body["suffix"] = suffix;
    EXPECT_EQ(Post("/v1/completions", body)["choices"], expected);
  }
}

TEST_F(OpenAiTest, WhatIsNotSupportedIsRefusedByName) {
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "a"}, {"suffix", 1}}, 400)["error"]["param"], "suffix");
  EXPECT_EQ(Post("/v1/chat/completions", Chat({{"parallel_tool_calls", 0}}), 400)["error"]["param"],
            "parallel_tool_calls");
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "a"}, {"suffix", "b"}}, 400)["error"]["param"], "suffix");
  EXPECT_EQ(Post("/v1/completions", {{"prompt", "a"}, {"best_of", 4}}, 400)["error"]["param"], "best_of");
  EXPECT_EQ(Post("/v1/chat/completions", Chat({{"n", 99}}), 400)["error"]["param"], "n");
  EXPECT_EQ(Post("/v1/chat/completions", Chat({{"model", "x"}}), 404)["error"]["param"], "model");
}

TEST_F(OpenAiTest, AClientThatGoesIsNotWrittenFor) {
  Json body = Chat({{"stream", true}, {"max_tokens", 60000}, {"n", 2}});
  body["stop"] = Json();
  body["ignore_eos"] = true;
  served_.chat = &FindChatTemplate("plain");  // which nothing ends
  const auto reply = Begin("POST", "/v1/chat/completions", body.dump());
  reply->WaitForPieces(4);
  EXPECT_EQ(engine_.Figures().cancelled, 0);
  reply->Go();
  for (int i = 0; i < 500 && engine_.Figures().cancelled < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(engine_.Figures().cancelled, 2);
  EXPECT_FALSE(reply->ended);
}

}  // namespace
}  // namespace linnet
