// The page's files, from memory: a path is looked up in a table, so none leads anywhere else. "/" is the page
// for a browser and, for anybody else, what clients of Ollama look for.
#pragma once

#include <span>
#include <vector>

#include "serve/assets.h"
#include "serve/http.h"

namespace linnet {

/// Routes of all files; without any "/" says how to get the page. The files must outlive the routes.
std::vector<HttpRoute> StaticRoutes(std::span<const WebAsset> files);

}  // namespace linnet
