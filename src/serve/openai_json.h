// Pieces of JSON that replies of OpenAI's API are made of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "serve/chat_request.h"
#include "serve/engine.h"
#include "serve/http.h"
#include "serve/json.h"

namespace linnet {

/// "chatcmpl-" and 24 random hexadecimal digits.
std::string NewId(std::string_view prefix);
int64_t UnixTime();

/// What a token is called: its text; if that is no valid UTF-8, "bytes:\xe4\xb8"; a name for one without
/// text. Tokens that differ have names that differ.
std::string TokenName(const Tokenizer& tokenizer, int token);

/// An entry of a chat's logprobs: {"token", "logprob", "bytes", "top_logprobs": [...]}.
Json ChatLogprob(const Tokenizer& tokenizer, const ScoredToken& score);

/// "stop" or "length".
const char* FinishReason(Generation::End end);

struct Usage {
  int64_t prompt = 0, cached = 0, completion = 0;
  /// Adds a choice's: the prompt of all is one. `before`: tokens of a stored conversation that it goes on
  /// from, which were not read again.
  void Add(const JobResult& result, int64_t before = 0);
};
Json UsageJson(const Usage& usage);

/// JSON in which bytes that are no UTF-8 have been replaced.
std::string Dump(const Json& json);
void SendJson(HttpReply& reply, const Json& json);
/// An event of a stream: "data: {...}\n\n".
std::string Event(const Json& json);
/// An event of which only one text changes, as it does from piece to piece of an answer: what stands around
/// it is written once, so that a token costs no JSON library.
class EventForm {
 public:
  /// What `event` has in place of the text.
  static constexpr const char* kText = "\x01";
  explicit EventForm(const Json& event);
  /// `text` is valid UTF-8.
  std::string With(std::string_view text) const;

 private:
  std::string before_, after_;
};
inline constexpr std::string_view kLastEvent = "data: [DONE]\n\n";
inline constexpr std::string_view kEventStream = "text/event-stream; charset=utf-8";

/// The same handler at "/v1/..." and without.
void AddApi(std::vector<HttpRoute>& routes, const std::string& method, const std::string& path,
            const HttpHandler& handler);

}  // namespace linnet
