#include "serve/runs_api.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/check.h"
#include "serve/openai_json.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLog = "log.jsonl";
constexpr int kDepth = 3;
constexpr size_t kMostRuns = 1000, kMostFolders = 20'000;
constexpr int64_t kMostBytes = 1 << 20;

struct Run {
  std::string name;
  int64_t bytes = 0, changed = 0;
};

/// An open log. No link is followed at the last step, and what is no plain file is none.
class LogFile {
 public:
  explicit LogFile(const fs::path& path)
      : file_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) {
    if (file_ >= 0 && (fstat(file_, &status_) != 0 || !S_ISREG(status_.st_mode))) Close();
  }
  ~LogFile() { Close(); }
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  explicit operator bool() const { return file_ >= 0; }
  int64_t bytes() const { return status_.st_size; }
  int64_t changed() const { return status_.st_mtime; }
  std::string id() const { return fmt::format("{:x}-{:x}", status_.st_dev, status_.st_ino); }

  /// Up to `most` bytes from `from` on, cut after the last end of a line.
  std::string Lines(int64_t from, int64_t most) const {
    std::string text(static_cast<size_t>(std::clamp<int64_t>(bytes() - from, 0, most)), '\0');
    size_t done = 0;
    while (done < text.size()) {
      const ssize_t count =
          pread(file_, text.data() + done, text.size() - done, from + static_cast<off_t>(done));
      if (count <= 0) break;
      done += static_cast<size_t>(count);
    }
    const size_t end = std::string_view(text).substr(0, done).rfind('\n');
    text.resize(end == std::string::npos ? 0 : end + 1);
    return text;
  }

 private:
  void Close() {
    if (file_ >= 0) close(file_);
    file_ = -1;
  }

  int file_;
  struct stat status_ = {};
};

std::vector<Run> FindRuns(const fs::path& folder) {
  std::vector<Run> runs;
  const auto look = [&](const fs::path& at, const std::string& name) {
    const LogFile log(at / kLog);
    if (log && runs.size() < kMostRuns) runs.push_back({name, log.bytes(), log.changed()});
  };
  look(folder, ".");
  std::error_code error;  // of folders that go away or cannot be read
  fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error), end;
  for (size_t seen = 0; !error && entry != end && seen < kMostFolders; entry.increment(error), ++seen) {
    std::error_code none;
    const std::string name = entry->path().filename().string();
    if (entry.depth() + 1 >= kDepth || name.starts_with('.')) entry.disable_recursion_pending();
    if (!entry->is_directory(none) || entry->is_symlink(none) || name.starts_with('.')) continue;
    look(entry->path(), fs::relative(entry->path(), folder, none).generic_string());
  }
  std::ranges::sort(runs, [](const Run& a, const Run& b) {
    return a.changed != b.changed ? a.changed > b.changed : a.name < b.name;
  });
  return runs;
}

void SendRuns(const fs::path& folder, HttpReply& reply) {
  Json data = Json::array();
  for (const Run& run : FindRuns(folder)) {
    data.push_back({{"name", run.name}, {"bytes", run.bytes}, {"changed", run.changed}});
  }
  SendJson(reply, {{"object", "list"}, {"data", std::move(data)}});
}

/// The name of the run that a path asks for, "/v1/runs/{name}/log".
std::string NameIn(const std::string& path) {
  constexpr std::string_view kBefore = "/runs/", kAfter = "/log";
  const size_t begin = path.find(kBefore) + kBefore.size();
  if (!path.ends_with(kAfter) || path.size() < begin + kAfter.size() + 1)
    throw HttpError(404, fmt::format("there is nothing at {}; a run's log is at /v1/runs/NAME/log", path));
  return path.substr(begin, path.size() - begin - kAfter.size());
}

/// The log of a run that FindRuns() would find: below the folder, without a link or a hidden folder on the
/// way.
LogFile OpenLog(const fs::path& folder, const std::string& name) {
  const fs::path path(name);
  const auto plain = [](const fs::path& part) { return !part.empty() && !part.string().starts_with('.'); };
  const bool below = path.is_relative() && std::distance(path.begin(), path.end()) <= kDepth &&
                     std::ranges::all_of(path, plain);
  std::error_code none;
  const fs::path root = fs::canonical(folder, none);
  const fs::path at = name == "." ? root : root / path;
  if ((name != "." && !below) || fs::canonical(at, none) != at)
    throw HttpError(404, fmt::format("there is no run '{}'", name), "", "run_not_found");
  return LogFile(at / kLog);
}

void SendLog(const fs::path& folder, const HttpRequest& request, HttpReply& reply) {
  int64_t from = 0;
  if (const auto found = request.query.find("from"); found != request.query.end()) {
    const std::string& text = found->second;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), from);
    if (error != std::errc() || end != text.data() + text.size() || from < 0)
      throw HttpError(400, "'from' must be a number of bytes", "from");
  }
  const LogFile log = OpenLog(folder, NameIn(request.path));
  if (!log) throw HttpError(404, "there is no log.jsonl of that run", "", "run_not_found");
  reply.Send(200, "application/x-ndjson", log.Lines(from, kMostBytes),
             {{"x-log-bytes", std::to_string(log.bytes())},
              {"x-log-file", log.id()},
              {"Cache-Control", "no-store"}});
}

}  // namespace

std::vector<HttpRoute> RunRoutes(const fs::path& folder) {
  Check(fs::is_directory(folder), "--runs {}: is no folder", folder.string());
  std::vector<HttpRoute> routes;
  AddApi(routes, "GET", "/runs",
         [folder](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) { SendRuns(folder, *reply); });
  AddApi(routes, "GET", "/runs/*",
         [folder](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
           SendLog(folder, request, *reply);
         });
  return routes;
}

}  // namespace linnet
