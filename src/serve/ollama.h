// Ollama's API: version, tags, show, ps, generate, chat, embed, and a clear error for what there is not.
// Errors are {"error": "..."}; streams are lines of JSON. Source of the forms: ollama's documentation of its
// API and the types of ollama-js.
#pragma once

#include <string>
#include <vector>

#include "serve/chat_request.h"
#include "serve/http.h"
#include "serve/json.h"

namespace linnet {

/// `served` must outlive the routes.
std::vector<HttpRoute> OllamaRoutes(const Served& served);

/// Of the files of their names.
void AnswerOllamaChat(const Served& served, const HttpRequest& request,
                      const std::shared_ptr<HttpReply>& reply);
void AnswerOllamaGenerate(const Served& served, const HttpRequest& request,
                          const std::shared_ptr<HttpReply>& reply);
void AnswerOllamaEmbed(const Served& served, const HttpRequest& request,
                       const std::shared_ptr<HttpReply>& reply);

/// A chat in OpenAI's words (serve/chat_request.h): `messages`, and what `request` says of options, format,
/// tools and thought. Throws HttpError 400 naming an option that is not supported.
Json OllamaInOpenAiWords(const Json& request, Json messages, const Served& served);

/// "2026-01-31T12:00:00Z"
std::string Rfc3339(int64_t seconds);
/// The name with its tag: "starter:latest".
std::string OllamaName(const Served& served);
/// Throws HttpError 400 if a request names no model, 404 if it names another one.
std::string CheckOllamaModel(const Fields& fields, const Served& served);
void SendOllamaError(HttpReply& reply, const HttpError& error);

}  // namespace linnet
