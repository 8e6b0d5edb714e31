// Router: from a request to its handler, and what has to be refused before that: those without a key, and,
// where no key is needed, other sites' pages that would have a browser talk to a server on its own machine
// (by a request across origins, or by a name of theirs that leads here: DNS rebinding).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/api_keys.h"
#include "serve/http.h"

namespace linnet {

class Router {
 public:
  struct Options {
    ApiKeys keys;
    /// Origins whose pages may use the server: "https://example.org", or "*" for all.
    std::vector<std::string> cors;
    /// Requests must name the host by an address or a name without dots; for servers on a loopback address
    /// that need no key.
    bool local_names_only = false;
  };

  Router(Options options, std::vector<HttpRoute> routes);

  /// Headers of every reply to a request: x-request-id and those of CORS.
  HttpHeaders CommonHeaders(const HttpRequest& request) const;
  /// The route of a request whose body need not be there yet. Sets `client`. Throws HttpError if it is
  /// refused: 401, 403, 404, 405.
  const HttpRoute& Find(HttpRequest& request) const;
  /// The headers of the reply to OPTIONS, which has no body and status 204. Throws HttpError 404.
  HttpHeaders OptionsOf(const std::string& path) const;
  /// Has it answered; whatever the handler throws becomes a reply.
  static void Answer(const HttpRoute& route, const HttpRequest& request,
                     const std::shared_ptr<HttpReply>& reply);
  /// Sends an error in OpenAI's form.
  static void SendError(const HttpError& error, HttpReply& reply);

 private:
  const HttpRoute* Match(const std::string& method, const std::string& path) const;
  std::string Allowed(const std::string& path) const;
  void CheckSite(const HttpRequest& request) const;

  Options options_;
  std::vector<HttpRoute> routes_;
};

/// 503: the server is about to stop; another one may be there soon.
HttpError StoppingError();

/// A header's value; "" if it is not there.
std::string Header(const HttpRequest& request, const std::string& name);

/// The path and the query of a request's target, decoded. Throws HttpError 400 if it is malformed.
void SetTarget(HttpRequest& request, std::string_view target);

}  // namespace linnet
