// What a POST to /v1/responses asks for.
#pragma once

#include "serve/conversations.h"

namespace linnet {

struct ResponseRequest {
  ChatRequest chat;  // of one choice
  Turn turn;
  bool store = true;
  /// What the reply repeats of the request: {"instructions": ..., "temperature": ...}, as JSON.
  std::string echo;
};

/// Waits for the store if the request goes on from something. Throws HttpError.
ResponseRequest ReadResponseRequest(const Json& body, const Served& served, Conversations& conversations,
                                    const std::string& client);

}  // namespace linnet
