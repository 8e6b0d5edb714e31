// What the fuzzer of requests does with an input; shared with the test that runs the corpus without a fuzzer.
// The first line is a request's target, the rest its body, and all of it an answer of a model's.
#pragma once

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "serve/answer_stream.h"
#include "serve/prompts.h"
#include "serve/router.h"

namespace linnet {

/// Runs `call`; an Error is the one exception that a bad request may cause.
template <class Call>
void Attempt(const Call& call) {
  try {
    call();
  } catch (const Error&) {
  }
}

/// What a client sees of an answer is the same whatever the pieces in which it comes.
inline std::string SeenInPieces(const ChatRequest& request, const ChatTemplate& chat, std::string_view answer,
                                size_t size) {
  AnswerStream stream(request, chat);
  std::string reasoning, content;
  const auto take = [&](const AnswerStream::Pieces& pieces) {
    reasoning += pieces.reasoning;
    content += pieces.content;
  };
  for (size_t at = 0; at < answer.size(); at += size) take(stream.Push(answer.substr(at, size)));
  take(stream.Finish());
  if (!Json::accept(Json(reasoning + content).dump())) std::abort();  // which throws unless it is UTF-8
  return reasoning + '\0' + content;
}

inline void FuzzRequest(std::string_view input) {
  static const BytesTokenizer tokenizer;
  Served served;
  served.tokenizer = &tokenizer;
  served.name = "tiny";
  served.chat = &FindChatTemplate("g1");
  served.think = &FindThinkForm("off");
  const size_t line = std::min(input.find('\n'), input.size());
  const std::string_view body = input.substr(std::min(line + 1, input.size()));
  Attempt([&] {
    HttpRequest request;
    SetTarget(request, input.substr(0, line));
    if (request.path.find('\0') != std::string::npos) std::abort();
  });
  ChatRequest chat;
  chat.think = served.think;
  Attempt([&] {
    chat = ReadChatRequest(ParseBody(body), served, "");
    size_t last = 0;
    for (const Mark& mark : chat.job.marks) {
      if (mark.tokens <= last || mark.tokens > chat.job.prompt.size() || mark.key.size() != 32) std::abort();
      last = mark.tokens;
    }
    if (chat.job.key_after) chat.job.key_after(std::string(body));
  });
  Attempt([&] {
    const Json json = ParseBody(body);
    ReadPrompts(Fields(json), "prompt", served);
  });
  if (SeenInPieces(chat, *served.chat, input, 1) != SeenInPieces(chat, *served.chat, input, 1000))
    std::abort();
}

}  // namespace linnet
