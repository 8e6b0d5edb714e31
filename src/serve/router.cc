#include "serve/router.h"

#include <algorithm>
#include <set>

#include "serve/engine.h"

namespace linnet {
namespace {

bool Covers(const std::string& pattern, const std::string& path) {
  if (!pattern.ends_with("/*")) return pattern == path;
  const std::string_view folder = std::string_view(pattern).substr(0, pattern.size() - 1);
  return path.size() > folder.size() && path.starts_with(folder);
}

/// A host without its port: "[::1]:8080" -> "[::1]".
std::string_view WithoutPort(std::string_view host) {
  const size_t colon = host.rfind(':');
  if (colon == std::string_view::npos || host.ends_with(']')) return host;
  return host.substr(0, colon);
}

bool IsLocalName(std::string_view host) {
  host = WithoutPort(host);
  const bool address =
      host.starts_with('[') || host.find_first_not_of("0123456789.") == std::string_view::npos;
  return address || host.find('.') == std::string_view::npos || host.ends_with(".localhost");
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string Decoded(std::string_view text, bool plus_is_blank) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        throw HttpError(400, "the request's path has a '%' without two digits after it");
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_blank) {
      c = ' ';
    }
    if (c == '\0') throw HttpError(400, "the request's path has a zero byte in it");
    decoded += c;
  }
  return decoded;
}

HttpError NothingAt(const std::string& path) {
  return {404, fmt::format("there is no '{}' on this server", path), "", "unknown_url"};
}

}  // namespace

HttpError StoppingError() {
  HttpError error(503, "this server is about to stop", "", "stopping");
  error.headers = {{"Retry-After", "5"}};
  return error;
}

std::string Header(const HttpRequest& request, const std::string& name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? "" : found->second;
}

void SetTarget(HttpRequest& request, std::string_view target) {
  if (target.starts_with("http://") || target.starts_with("https://")) {  // as to a proxy
    const size_t path = target.find('/', target.find("//") + 2);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  target = target.substr(0, target.find('#'));
  const size_t mark = target.find('?');
  request.path = Decoded(target.substr(0, mark), false);
  if (mark == std::string_view::npos) return;
  for (std::string_view query = target.substr(mark + 1); !query.empty();) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    request.query[Decoded(pair.substr(0, equals), true)] =
        Decoded(pair.substr(std::min(equals + 1, pair.size())), true);
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

Router::Router(Options options, std::vector<HttpRoute> routes)
    : options_(std::move(options)), routes_(std::move(routes)) {}

HttpHeaders Router::CommonHeaders(const HttpRequest& request) const {
  HttpHeaders headers = {{"x-request-id", request.id}, {"X-Content-Type-Options", "nosniff"}};
  if (options_.cors.empty()) return headers;
  headers.emplace_back("Vary", "Origin");
  const std::string origin = Header(request, "origin");
  for (const std::string& allowed : options_.cors) {
    if (origin.empty() || (allowed != "*" && allowed != origin)) continue;
    headers.emplace_back("Access-Control-Allow-Origin", allowed);
    headers.emplace_back("Access-Control-Expose-Headers", "x-request-id, Retry-After");
    break;
  }
  return headers;
}

const HttpRoute* Router::Match(const std::string& method, const std::string& path) const {
  const HttpRoute* best = nullptr;
  for (const HttpRoute& route : routes_) {
    const bool better = best == nullptr || best->path.size() < route.path.size();
    if (route.method == method && better && Covers(route.path, path)) best = &route;
  }
  return best;
}

std::string Router::Allowed(const std::string& path) const {
  std::set<std::string> methods;
  for (const HttpRoute& route : routes_) {
    if (Covers(route.path, path)) methods.insert(route.method);
  }
  if (methods.empty()) return "";
  if (methods.contains("GET")) methods.insert("HEAD");
  methods.insert("OPTIONS");
  std::string list;
  for (const std::string& method : methods) list += (list.empty() ? "" : ", ") + method;
  return list;
}

void Router::CheckSite(const HttpRequest& request) const {
  if (!options_.keys.empty()) return;  // a page that has the key may
  const std::string host = Header(request, "host"), origin = Header(request, "origin");
  if (options_.local_names_only && !IsLocalName(host))
    throw HttpError(403, fmt::format("this server needs no key and answers only to names of its own machine, "
                                     "not to '{}'; start it with --api-key-file to let others in",
                                     host));
  const auto& cors = options_.cors;
  const bool own = origin.empty() || origin == "http://" + host || origin == "https://" + host;
  const auto allowed = [&](const std::string& entry) { return entry == "*" || entry == origin; };
  if (!own && request.method != "GET" && request.method != "HEAD" && std::ranges::none_of(cors, allowed))
    throw HttpError(403, fmt::format("pages of '{}' may not use this server; start it with --cors {} if they "
                                     "should",
                                     origin, origin));
}

HttpHeaders Router::OptionsOf(const std::string& path) const {
  const std::string allowed = path == "*" ? "GET, HEAD, OPTIONS, POST" : Allowed(path);
  if (allowed.empty()) throw NothingAt(path);
  HttpHeaders headers = {{"Allow", allowed}};
  if (options_.cors.empty()) return headers;
  headers.emplace_back("Access-Control-Allow-Methods", allowed);
  headers.emplace_back("Access-Control-Allow-Headers", "*, Authorization");
  headers.emplace_back("Access-Control-Max-Age", "600");
  return headers;
}

const HttpRoute& Router::Find(HttpRequest& request) const {
  CheckSite(request);
  const HttpRoute* route = Match(request.method, request.path);
  if (route == nullptr && request.method == "HEAD") route = Match("GET", request.path);
  if (const auto client = options_.keys.ClientOf(Header(request, "authorization"))) {
    request.client = *client;
  } else if (route == nullptr || !route->open) {
    HttpError error(401,
                    "this server needs an API key: send the header 'Authorization: Bearer KEY' with one "
                    "of those in its --api-key-file",
                    "", "invalid_api_key");
    error.headers = {{"WWW-Authenticate", "Bearer"}};
    throw error;
  }
  if (route != nullptr) return *route;
  const std::string allowed = Allowed(request.path);
  if (allowed.empty()) throw NothingAt(request.path);
  HttpError error(405, fmt::format("'{}' takes {}, not {}", request.path, allowed, request.method));
  error.headers = {{"Allow", allowed}};
  throw error;
}

void Router::SendError(const HttpError& error, HttpReply& reply) {
  reply.Send(error.status, "application/json", ErrorJson(error.status, error.what(), error.param, error.code),
             error.headers);
}

void Router::Answer(const HttpRoute& route, const HttpRequest& request,
                    const std::shared_ptr<HttpReply>& reply) {
  try {
    route.handler(request, reply);
  } catch (const HttpError& error) {
    SendError(error, *reply);
  } catch (const QueueFull& full) {
    HttpError error(429, "too many requests wait already; try again later", "", "queue_full");
    error.headers = {{"Retry-After", std::to_string(full.retry_after_s)}};
    SendError(error, *reply);
  } catch (const Draining&) {
    SendError(StoppingError(), *reply);
  } catch (const Error& error) {
    SendError(HttpError(400, error.what()), *reply);
  } catch (const std::exception& error) {
    SendError(HttpError(500, fmt::format("the server failed at this request: {}", error.what())), *reply);
  }
}

}  // namespace linnet
