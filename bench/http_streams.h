// Many clients of a real `linnet serve`: a process of its own, a connection each, one stream after another,
// beside what the batched decode of `linnet bench` reaches in the same run.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "nn/model.h"

namespace linnet::bench {

struct HttpStreamsOptions {
  std::string program = "out/build/linnet", model = {};
  int connections = 1000, slots = 64;
  int64_t tokens = 400;  // of a stream
  double minutes = 0;
};

/// Errors, and for each minute tokens a second, time between the tokens of a stream, and the server's
/// resident memory. `model` is that file, opened; it is measured before and after the server runs.
nlohmann::json HttpStreams(const LoadedModel& model, const HttpStreamsOptions& options);

}  // namespace linnet::bench
