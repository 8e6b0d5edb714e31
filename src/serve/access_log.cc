#include "serve/access_log.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace linnet {
namespace {

constexpr size_t kLongest = 2000;  // bytes of a path that are shown

/// Without blanks and line ends; "-" for nothing.
std::string Word(std::string_view text) {
  std::string word;
  for (const unsigned char c : text.substr(0, kLongest)) {
    if (c > ' ' && c < 127 && c != '%') {
      word += static_cast<char>(c);
    } else {
      word += fmt::format("%{:02X}", c);
    }
  }
  return word.empty() ? "-" : word;
}

}  // namespace

std::string AccessLine(const Access& access, std::chrono::system_clock::time_point now,
                       std::chrono::duration<double, std::milli> took) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z {} {} {} {} {:.3f} {} {}\n",
                     fmt::gmtime(static_cast<std::time_t>(seconds.count())), (since - seconds).count(),
                     Word(access.method), Word(access.path), access.status, access.bytes, took.count(),
                     access.prompt_tokens, access.tokens);
}

AccessLog::AccessLog(const std::filesystem::path& path) {
  file_ =
      path == "-" ? dup(STDOUT_FILENO) : open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  Check(file_ >= 0, "--access-log {}: cannot be written: {}; name a file in a folder that exists, or -",
        path.string(), std::strerror(errno));
}

AccessLog::~AccessLog() { close(file_); }

void AccessLog::Write(const Access& access) {
  const std::string line =
      AccessLine(access, std::chrono::system_clock::now(), std::chrono::steady_clock::now() - access.began);
  const std::lock_guard lock(mutex_);
  for (size_t done = 0; done < line.size();) {
    const ssize_t count = write(file_, line.data() + done, line.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    done += static_cast<size_t>(count);
  }
}

}  // namespace linnet
