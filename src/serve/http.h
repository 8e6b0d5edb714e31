// What the server's APIs know of HTTP: a request that has been read whole, and a reply that is sent at once
// or as a stream. Who reads and writes them is serve/server.h; tests do it without a network.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace linnet {

struct HttpRequest {
  std::string method;                          // "GET"
  std::string path;                            // "/v1/models", decoded, without the query
  std::map<std::string, std::string> query;    // decoded
  std::map<std::string, std::string> headers;  // names in small letters
  std::string body;
  std::string client;  // whose states and queue these are: a hash of the API key, or "" if none is needed
  std::string id;      // x-request-id
};

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

/// What is wrong with a request, or why it cannot be done now.
class HttpError : public Error {
 public:
  /// `param` is the field that is wrong, `code` a word for programs ("model_not_found"); both may be empty.
  HttpError(int http_status, const std::string& message, std::string field = "", std::string word = "")
      : Error(message), status(http_status), param(std::move(field)), code(std::move(word)) {}

  int status;
  std::string param, code;
  HttpHeaders headers;  // Retry-After
};

/// The body of a reply that says what went wrong, in OpenAI's form:
///   {"error": {"message", "type", "param", "code"}}
std::string ErrorJson(int status, std::string_view message, std::string_view param = "",
                      std::string_view code = "");

/// The reply to one request. All functions may be called from any thread, and return at once; after the
/// client has gone they do nothing.
class HttpReply {
 public:
  virtual ~HttpReply() = default;

  /// The whole reply.
  virtual void Send(int status, std::string_view content_type, std::string body,
                    const HttpHeaders& headers = {}) = 0;
  /// Or its beginning, pieces that are flushed each, and its end.
  virtual void Begin(int status, std::string_view content_type, const HttpHeaders& headers = {}) = 0;
  virtual void Write(std::string piece) = 0;
  virtual void End() = 0;

  /// For the access log: tokens that were read and written for it, more of them.
  virtual void CountTokens(int64_t /*prompt*/, int64_t /*written*/) {}

  /// Bytes given to Write that the client has not taken yet.
  virtual size_t pending_bytes() const = 0;
  /// `gone` is called once, on some thread, when the client goes before the reply's end; at once if it has.
  virtual void OnGone(std::function<void()> gone) = 0;
};

/// Answers a request, then or later, from whatever thread; an Error it throws becomes a reply with its
/// message (HttpError: with its status), any other exception one with status 500.
using HttpHandler = std::function<void(const HttpRequest& request, std::shared_ptr<HttpReply> reply)>;

/// A route: the handler of a method and a path. A path that ends in "/*" takes everything below it.
struct HttpRoute {
  std::string method, path;
  HttpHandler handler;
  bool open = false;  // to everybody, without a key
};

}  // namespace linnet
