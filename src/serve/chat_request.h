// From a request's JSON to a Job, for all APIs that have conversations or sampling in OpenAI's words.
//
// A conversation is written down in the template of the model's family (text/chat.h), as `linnet chat` does:
//
//   opening or system text | end user message assistant | answer | end user message assistant | ...
//
// Each segment between two bars is tokenised by itself, as it was when the answers between them were made.
// After the opening and after every answer is a Mark: its key is a hash of all text before it. The place that
// an answer leaves gets the key that the answer will have as a part of the next request, so a second turn
// costs only what is new, however the client writes the blanks around the answer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/engine.h"
#include "serve/fields.h"
#include "serve/json.h"
#include "text/chat.h"

namespace linnet {

/// Tokens that an answer in a conversation may have, unless a request says so.
inline constexpr int64_t kAnswerTokens = 4096;

class Conversations;  // serve/conversations.h

/// A model that is served, and what the APIs need to know of it. What it refers to must outlive it.
struct Served {
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;
  std::string name;         // what clients call it
  std::string fingerprint;  // of program and weights
  int64_t created = 0;      // seconds since 1970
  const ChatTemplate* chat = nullptr;
  const ThinkForm* think = nullptr;  // unless a request says so
  SamplerOptions chat_sampler;       // unless a request says so
  int64_t max_tokens = 65536;        // that an answer may have
  int64_t max_prompt_tokens = 1 << 20;
  Conversations* conversations = nullptr;  // of which sessions are; null if none are kept
  /// The LoRA and the tuned state of these names, "" for none. Throws HttpError 400 if there is none; null if
  /// none are served.
  std::function<Variant(const std::string& lora, const std::string& state)> variant_of;
  std::vector<std::string> lora_names, state_names;  // of those that it has
};

/// Throws HttpError 404 if a request names a model other than the served one (":latest" may follow it).
void CheckModel(const Fields& fields, const Served& served);

struct ChatMessage {
  enum class Role { kSystem, kUser, kAssistant } role;
  std::string text;
};

/// `messages`: a list of {role, content}, content a string or a list of parts of text. `where` is what to
/// call the list. Throws HttpError 400.
std::vector<ChatMessage> ReadMessages(const Json& messages, const std::string& where = "messages");

/// A conversation as the model reads it.
struct WrittenConversation {
  std::vector<int> tokens;
  std::vector<Mark> marks;
  std::string key;    // of all text before the answer
  std::string begun;  // what stands of the answer already: the last message, if it is the assistant's
};

/// `key_before`: of a stored conversation that the messages go on from; "" if they are the beginning. If the
/// last message is the assistant's, the answer goes on with it.
WrittenConversation WriteConversation(const std::vector<ChatMessage>& messages, const ChatTemplate& chat,
                                      const ThinkForm& think, const Tokenizer& tokenizer,
                                      const std::string& key_before = "");

/// The key of the place after an answer, `begun` and all, to what has the key `key`.
std::string KeyAfterAnswer(const std::string& key, const ChatTemplate& chat, std::string_view answer);

/// Gives a job a conversation: its prompt, its marks, the texts at which an answer ends, the name of the
/// place after it. A thought does not become part of a conversation, so the place after one has no name.
void SetConversation(Job& job, WrittenConversation conversation, const ChatTemplate& chat,
                     const ThinkForm& think);

/// Gives a job a text to go on with, with a mark one token before its end.
void SetPrompt(Job& job, std::vector<int> tokens);

/// Reads what a request says of sampling into a job that has the values for what it does not say: the
/// settings of infer/sampler_settings.h with '_' for '-', exact_top_p, logit_bias, seed, stop, ignore_eos,
/// max_tokens (or max_completion_tokens), and `lora`, `state`. Throws HttpError.
void ReadSampling(const Fields& fields, const Served& served, Job& job);

/// `logprobs` and `top_logprobs` as chats have them. Throws HttpError.
void ReadTopLogprobs(const Fields& fields, Job& job);

/// How a request wants the model to think: reasoning_effort. Throws HttpError 400 if it cannot.
const ThinkForm& ReadThink(const Fields& fields, const Served& served);

/// Throws HttpError 400 if a prompt is longer than this server reads.
void CheckPromptLength(size_t tokens, const Served& served, const std::string& field);

/// Another job like it, without its callbacks, for a further choice: the seed is the next.
Job NextChoice(const Job& job);

/// What a /v1/chat/completions request asks for.
struct ChatRequest {
  Job job;  // of the first choice
  const ThinkForm* think = nullptr;
  bool goes_on = false;  // with the assistant's message that was the last
  int choices = 1;
  bool stream = false, include_usage = false;
  bool tools = false;  // calls are to be found in the answer
};
ChatRequest ReadChatRequest(const Json& request, const Served& served, const std::string& client);

}  // namespace linnet
