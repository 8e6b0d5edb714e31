// AccessLog: a line for each request that was answered, or whose client went before:
//
//   2026-11-24T16:02:03.456Z POST /v1/chat/completions 200 5321 48.213 35 20
//
// when it ended, method, path (without what follows '?'), status (499: the client went), bytes of the reply,
// milliseconds since the request was read, tokens of prompts and of answers (each choice counts). Neither
// keys nor texts are in it. Bytes of a path that are no printable ASCII are written as %XX: a line is one
// request.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <string_view>

namespace linnet {

struct Access {
  std::string method, path;
  int status = 0;
  int64_t bytes = 0, prompt_tokens = 0, tokens = 0;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
};

/// The line of what ended at `now`, with its newline.
std::string AccessLine(const Access& access, std::chrono::system_clock::time_point now,
                       std::chrono::duration<double, std::milli> took);

/// For several threads.
class AccessLog {
 public:
  /// Appends to a file; "-" is standard output. Throws Error, naming the file, if it cannot be written.
  explicit AccessLog(const std::filesystem::path& path);
  ~AccessLog();
  AccessLog(const AccessLog&) = delete;
  AccessLog& operator=(const AccessLog&) = delete;

  /// Of a request that ends now. What a full disk does not take is lost.
  void Write(const Access& access);

 private:
  std::mutex mutex_;
  int file_;
};

}  // namespace linnet
