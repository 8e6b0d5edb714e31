#include "serve/inside.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "infer/tiny_model.h"
#include "serve/fake_reply.h"
#include "serve/router.h"

namespace linnet {
namespace {

class InsideTest : public testing::Test {
 protected:
  InsideTest() : model_(TinyModel()), engine_(model_, tokenizer_, {.slots = 1}) {
    served_.engine = &engine_;
    served_.tokenizer = &tokenizer_;
    served_.name = "tiny";
    served_.chat = &FindChatTemplate("question");
    served_.think = &FindThinkForm("off");
    routes_ = InsideRoutes(reader_);
  }

  Inside Look(const std::string& text, int64_t last, int top = 3) {
    const std::atomic<bool> over = false;
    return LookInside(model_, tokenizer_, tokenizer_.Encode(text), {}, last, top, over);
  }
  std::shared_ptr<FakeReply> Begin(const Json& body) {
    HttpRequest request;
    request.method = "POST";
    request.path = "/v1/inside";
    request.body = body.dump();
    const Router router({}, routes_);
    auto reply = std::make_shared<FakeReply>();
    Router::Answer(router.Find(request), request, reply);
    return reply;
  }
  Json Post(const Json& body, int status = 200) {
    const auto reply = Begin(body);
    reply->Wait();
    EXPECT_EQ(reply->status, status) << reply->body;
    return Json::parse(reply->body);
  }

  LoadedModel model_;
  BytesTokenizer tokenizer_;
  Engine engine_;
  Served served_;
  InsideReader reader_{served_};
  std::vector<HttpRoute> routes_;
};

TEST_F(InsideTest, ScoresAreThoseOfTheModelsLogits) {
  const std::string text = "A state of constant size.";
  const Inside inside = Look(text, 100);
  ASSERT_EQ(inside.tokens.size(), text.size());
  EXPECT_TRUE(inside.tokens[0].top.empty());

  const State state = model_.NewState(1);
  Batch batch;
  batch.Append(tokenizer_.Encode(text), 0);
  const Tensor logits = model_.model->Forward(batch, state);
  const auto vocab = static_cast<size_t>(model_.vocab());
  for (size_t i = 1; i < text.size(); ++i) {
    const float* row = logits.data() + (i - 1) * vocab;
    double sum = 0;
    for (size_t v = 0; v < vocab; ++v) sum += std::exp(row[v]);
    const auto token = static_cast<unsigned char>(text[i]);
    EXPECT_EQ(inside.tokens[i].token, token);
    EXPECT_NEAR(inside.tokens[i].logprob, row[token] - std::log(sum), 1e-4);
    ASSERT_EQ(inside.tokens[i].top.size(), 3u);
    EXPECT_GE(inside.tokens[i].top[0].second, inside.tokens[i].top[1].second);
    EXPECT_GE(inside.tokens[i].top[0].second, inside.tokens[i].logprob);
  }
}

TEST_F(InsideTest, NormsAreThoseOfTheHeadsStates) {
  const std::string text = "norms";
  const Inside inside = Look(text, 100);
  ASSERT_EQ(inside.norms.size(), text.size());
  const State state = model_.NewState(1);
  Batch batch;
  batch.Append(tokenizer_.Encode(text), 0);
  model_.model->Forward(batch, state);
  const std::vector<Tensor> saved = state.Save(0);
  std::vector<double> expected;
  for (size_t i = 0; i < saved.size(); ++i) {
    if (!state.specs()[i].name.ends_with(".att.wkv")) continue;
    const Shape& shape = state.specs()[i].shape;
    const Dim size = shape[1] * shape[2];
    for (Dim head = 0; head < shape[0]; ++head) {
      double sum = 0;
      for (Dim at = head * size; at < (head + 1) * size; ++at) sum += std::pow(saved[i].data()[at], 2);
      expected.push_back(std::sqrt(sum));
    }
  }
  ASSERT_EQ(inside.norms.back().size(), expected.size());
  ASSERT_EQ(static_cast<Dim>(inside.heads.size()), model_.sizes.at("layers"));
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(inside.norms.back()[i], expected[i], 1e-4 * expected[i]);
    EXPECT_GT(expected[i], 0);
  }
}

TEST_F(InsideTest, TheEndOfATextIsSeenAsInTheWhole) {
  const std::string text = "What came before the last tokens counts, too.";
  const Inside whole = Look(text, 1000), end = Look(text, 7);
  EXPECT_EQ(whole.first, 0);
  ASSERT_EQ(end.first, static_cast<int64_t>(text.size()) - 7);
  ASSERT_EQ(end.tokens.size(), 7u);
  for (size_t i = 0; i < 7; ++i) {
    const size_t same = text.size() - 7 + i;
    EXPECT_NEAR(end.tokens[i].logprob, whole.tokens[same].logprob, 1e-4);
    for (size_t head = 0; head < end.norms[i].size(); ++head)
      EXPECT_NEAR(end.norms[i][head], whole.norms[same][head], 1e-3 * whole.norms[same][head]);
  }
}

TEST_F(InsideTest, AReplyHasWhatThePageShows) {
  const Json reply = Post({{"prompt", "abc"}, {"top_logprobs", 2}});
  EXPECT_EQ(reply["model"], "tiny");
  ASSERT_EQ(reply["tokens"].size(), 3u);
  EXPECT_EQ(reply["tokens"][0]["token"], "a");
  EXPECT_TRUE(reply["tokens"][0]["logprob"].is_null());
  EXPECT_EQ(reply["tokens"][2]["top_logprobs"].size(), 2u);
  EXPECT_EQ(reply["norms"].size(), 3u);
  EXPECT_EQ(reply["answer"], 0);
  EXPECT_EQ(static_cast<Dim>(reply["decays"].size()), model_.sizes.at("layers"));
}

TEST_F(InsideTest, TheAnswerOfAConversationIsFound) {
  const Json reply =
      Post({{"messages",
             {{{"role", "user"}, {"content", "Why?"}}, {{"role", "assistant"}, {"content", "Because."}}}}});
  std::string answer;
  const auto begin = reply["answer"].get<size_t>();
  for (size_t i = begin; i < reply["tokens"].size(); ++i)
    answer += reply["tokens"][i]["token"].get<std::string>();
  EXPECT_EQ(answer, " Because.");
}

TEST_F(InsideTest, WhatMakesNoSenseIsRefusedByName) {
  EXPECT_EQ(Post(Json::object(), 400)["error"]["param"], "messages");
  EXPECT_EQ(Post({{"prompt", ""}}, 400)["error"]["param"], "prompt");
  EXPECT_EQ(Post({{"prompt", "a"}, {"last", 0}}, 400)["error"]["param"], "last");
  EXPECT_EQ(Post({{"prompt", "a"}, {"lora", "x"}}, 400)["error"]["param"], "lora");
  EXPECT_EQ(Post({{"prompt", std::string(70'000, 'a')}}, 400)["error"]["param"], "prompt");
}

TEST_F(InsideTest, OneTextAtATimeAndItEndsWithItsClient) {
  const Json much = {{"prompt", std::string(60'000, 'a')}, {"last", 4096}};
  const auto first = Begin(much);
  const auto second = Begin({{"prompt", "b"}});
  EXPECT_EQ(second->status, 429);
  first->Go();
  first->Wait();
  const Json seen = Json::parse(first->body);
  EXPECT_LT(seen["tokens"].size(), 4096u);
}

}  // namespace
}  // namespace linnet
