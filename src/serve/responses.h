// OpenAI's /v1/responses: text in, text out, and a conversation goes on from any answer by its id
// (previous_response_id): that is a stored state, so a turn costs its own tokens whatever came before it.
//
//   POST   /v1/responses                    one object "response", or a stream of its events
//   GET    /v1/responses/{id}               the object again
//   GET    /v1/responses/{id}/input_items   what it is the answer to
//   DELETE /v1/responses/{id}
//
// Source of the forms: the types of openai-node (resources/responses) and its reader of streams.
#pragma once

#include <vector>

#include "serve/conversations.h"

namespace linnet {

/// Both must outlive the routes.
std::vector<HttpRoute> ResponsesRoutes(const Served& served, Conversations& conversations);

}  // namespace linnet
