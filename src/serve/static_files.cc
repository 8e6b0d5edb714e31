#include "serve/static_files.h"

#include <string>

#include "serve/router.h"

namespace linnet {
namespace {

constexpr std::string_view kPage = "/index.html";
constexpr std::string_view kNoPage =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>linnet</title><p>This linnet was built "
    "without its page, as npm could not be had. The APIs are all here: see docs/serving.md.</p></html>\n";

/// What the page may load: its own files, and nothing of other sites.
const HttpHeaders kPagePolicy = {
    {"Content-Security-Policy",
     "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
     "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
    {"Referrer-Policy", "no-referrer"}};

void SendFile(const WebAsset& file, const HttpRequest& request, HttpReply& reply) {
  HttpHeaders headers = {{"ETag", std::string(file.etag)}, {"Cache-Control", "no-cache"}};
  if (file.content_type.starts_with("text/html"))
    headers.insert(headers.end(), kPagePolicy.begin(), kPagePolicy.end());
  if (Header(request, "if-none-match") == file.etag) return reply.Send(304, "", "", headers);
  const bool packed =
      !file.gzip.empty() && Header(request, "accept-encoding").find("gzip") != std::string::npos;
  if (!file.gzip.empty()) headers.emplace_back("Vary", "Accept-Encoding");
  if (packed) headers.emplace_back("Content-Encoding", "gzip");
  reply.Send(200, file.content_type, std::string(packed ? file.gzip : file.bytes), headers);
}

bool IsBrowser(const HttpRequest& request) {
  return Header(request, "accept").find("text/html") != std::string::npos;
}

}  // namespace

std::vector<HttpRoute> StaticRoutes(std::span<const WebAsset> files) {
  std::vector<HttpRoute> routes;
  const WebAsset* page = nullptr;
  for (const WebAsset& file : files) {
    if (file.path == kPage) page = &file;
    const auto handler = [&file](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
      SendFile(file, request, *reply);
    };
    routes.push_back({"GET", std::string(file.path), handler, /*open=*/true});
  }
  const auto root = [page](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    if (!IsBrowser(request)) return reply->Send(200, "text/plain; charset=utf-8", "Ollama is running");
    if (page != nullptr) return SendFile(*page, request, *reply);
    reply->Send(200, "text/html; charset=utf-8", std::string(kNoPage), kPagePolicy);
  };
  routes.push_back({"GET", "/", root, /*open=*/true});
  return routes;
}

}  // namespace linnet
