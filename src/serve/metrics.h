// What the server says of itself: GET /health, and GET /metrics in the text format of Prometheus (version
// 0.0.4).
#pragma once

#include <string>
#include <vector>

#include "serve/engine.h"
#include "serve/server.h"

namespace linnet {

std::string MetricsText(const EngineFigures& engine, const HttpFigures& http);

/// Both must outlive the routes. /health is open: 200 {"status": "ok"}, or 503 {"status": "stopping"}.
std::vector<HttpRoute> StatusRoutes(const Engine& engine, const Server& server);

}  // namespace linnet
