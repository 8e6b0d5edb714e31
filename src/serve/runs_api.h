// The logs of training runs, for the page that follows them (`linnet serve --runs DIR`). A run is a folder
// below DIR, at most three levels deep, with a log.jsonl (train/log.h); or DIR itself.
//
//   GET /v1/runs                        {"object": "list", "data": [{"name", "bytes", "changed"}]}
//   GET /v1/runs/{name}/log?from=N      bytes of the log from N on, at most 1 MiB, whole lines
//
// `name` is the run's folder from DIR, with "/" as "%2F" in paths, or "." for DIR itself; the newest log
// comes first. Beside the lines of a log come the headers x-log-bytes, its length, and x-log-file, which
// changes when another file took its place: a run that goes on from an older checkpoint rewrites its log.
#pragma once

#include <filesystem>
#include <vector>

#include "serve/http.h"

namespace linnet {

/// Throws Error if `folder` is none.
std::vector<HttpRoute> RunRoutes(const std::filesystem::path& folder);

}  // namespace linnet
