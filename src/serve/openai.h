// OpenAI's API: models, chat/completions, completions and embeddings, each with and without "/v1" before it.
// Source of the forms: the types of openai-node and openai-python, and what lm-evaluation-harness sends.
#pragma once

#include <vector>

#include "serve/chat_request.h"
#include "serve/http.h"

namespace linnet {

/// `served` must outlive the routes.
std::vector<HttpRoute> OpenAiRoutes(const Served& served);

/// Of the files of their names.
void AnswerChat(const Served& served, const HttpRequest& request, const std::shared_ptr<HttpReply>& reply);
void AnswerCompletion(const Served& served, const HttpRequest& request,
                      const std::shared_ptr<HttpReply>& reply);
void AnswerEmbeddings(const Served& served, const HttpRequest& request,
                      const std::shared_ptr<HttpReply>& reply);

}  // namespace linnet
