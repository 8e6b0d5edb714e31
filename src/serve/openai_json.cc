#include "serve/openai_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>

#include "text/utf8.h"

namespace linnet {
namespace {

bool IsUtf8(const std::string& bytes) {
  Utf8Stream stream(Utf8Stream::Mode::kValid);
  const std::string valid = stream.Push(bytes);
  return valid + stream.Finish() == bytes;
}

Json LogprobEntry(const Tokenizer& tokenizer, int token, double logprob) {
  Json bytes = Json::array();
  for (const unsigned char byte : tokenizer.Decode({&token, 1})) bytes.push_back(byte);
  return {{"token", TokenName(tokenizer, token)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

/// As the inside of a string of JSON: quotes, backslashes and control characters are written otherwise.
void AppendEscaped(std::string_view text, std::string& out) {
  constexpr std::string_view kSpecial = "\"\\\b\f\n\r\t", kLetters = "\"\\bfnrt";
  for (const char c : text) {
    const size_t special = kSpecial.find(c);
    if (special != std::string_view::npos) {
      out += '\\';
      out += kLetters[special];
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
}

}  // namespace

std::string NewId(std::string_view prefix) {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{}{:016x}{:08x}", prefix, random(), static_cast<uint32_t>(random()));
}

int64_t UnixTime() { return std::time(nullptr); }

std::string TokenName(const Tokenizer& tokenizer, int token) {
  const std::string special = tokenizer.SpecialName(token);
  if (!special.empty()) return special;
  const std::string bytes = tokenizer.Decode({&token, 1});
  if (bytes.empty()) return fmt::format("<|{}|>", token);
  if (IsUtf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const unsigned char byte : bytes) name += fmt::format("\\x{:02x}", byte);
  return name;
}

Json ChatLogprob(const Tokenizer& tokenizer, const ScoredToken& score) {
  Json entry = LogprobEntry(tokenizer, score.token, score.logprob);
  Json top = Json::array();
  for (const auto& [token, logprob] : score.top) top.push_back(LogprobEntry(tokenizer, token, logprob));
  entry["top_logprobs"] = std::move(top);
  return entry;
}

const char* FinishReason(Generation::End end) {
  return end == Generation::End::kLength || end == Generation::End::kInterrupted ? "length" : "stop";
}

void Usage::Add(const JobResult& result, int64_t before) {
  prompt = std::max(prompt, before + result.prompt_tokens);
  cached = std::max(cached, before + result.cached_tokens);
  completion += static_cast<int64_t>(result.ids.size());
}

Json UsageJson(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt},
          {"completion_tokens", usage.completion},
          {"total_tokens", usage.prompt + usage.completion},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached}}}};
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

void SendJson(HttpReply& reply, const Json& json) { reply.Send(200, "application/json", Dump(json)); }

std::string Event(const Json& json) { return "data: " + Dump(json) + "\n\n"; }

EventForm::EventForm(const Json& event) {
  constexpr std::string_view kDumped = "\"\\u0001\"";
  const std::string whole = Event(event);
  const size_t at = whole.find(kDumped);
  Check(at != std::string::npos, "[server] an event has no place for its text");
  before_ = whole.substr(0, at + 1);
  after_ = whole.substr(at + kDumped.size() - 1);
}

std::string EventForm::With(std::string_view text) const {
  std::string event;
  event.reserve(before_.size() + text.size() + after_.size() + 16);
  event += before_;
  AppendEscaped(text, event);
  return event += after_;
}

void AddApi(std::vector<HttpRoute>& routes, const std::string& method, const std::string& path,
            const HttpHandler& handler) {
  routes.push_back({method, path, handler});
  routes.push_back({method, "/v1" + path, handler});
}

}  // namespace linnet
