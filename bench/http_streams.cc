#include "bench/http_streams.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "base/check.h"
#include "bench/measure.h"
#include "infer/benchmark.h"

namespace linnet::bench {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Counts of times in buckets that are 1% wide.
class Times {
 public:
  void Add(double seconds) {
    const double bucket = std::log(std::max(1.0, seconds * 1e6)) * kPerE;
    ++counts_[std::min(counts_.size() - 1, static_cast<size_t>(bucket))];
    ++count_;
    longest_s_ = std::max(longest_s_, seconds);
  }
  void Add(const Times& more) {
    for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += more.counts_[i];
    count_ += more.count_;
    longest_s_ = std::max(longest_s_, more.longest_s_);
  }
  double Milliseconds(double share) const {
    auto left = static_cast<int64_t>(share * static_cast<double>(count_));
    size_t bucket = 0;
    while (bucket + 1 < counts_.size() && (left -= counts_[bucket]) >= 0) ++bucket;
    return std::exp(static_cast<double>(bucket) / kPerE) / 1e3;
  }
  nlohmann::json Report() const {
    return {{"count", count_},
            {"p50_ms", Milliseconds(0.5)},
            {"p99_ms", Milliseconds(0.99)},
            {"p999_ms", Milliseconds(0.999)},
            {"max_ms", 1e3 * longest_s_}};
  }

 private:
  static constexpr double kPerE = 100;
  std::array<int64_t, 2100> counts_{};  // up to 1,300 seconds
  int64_t count_ = 0;
  double longest_s_ = 0;
};

/// Of a process or a thread whose name has no blanks.
double CpuSecondsOf(const std::filesystem::path& stat) {
  std::ifstream file(stat);
  std::string word;
  for (int field = 0; field < 13; ++field) file >> word;
  int64_t user = 0, system = 0;
  file >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// `linnet serve` on a free port, without what outlives it.
class ServeProcess {
 public:
  explicit ServeProcess(const HttpStreamsOptions& o) {
    int pipe_ends[2];
    Check(pipe2(pipe_ends, O_CLOEXEC) == 0, "no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
    std::vector<std::string> words = {o.program,
                                      "serve",
                                      o.model,
                                      "--port",
                                      "0",
                                      "--slots",
                                      std::to_string(o.slots),
                                      "--queue",
                                      std::to_string(2 * o.connections),
                                      "--state-store",
                                      "memory"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int failed = posix_spawn(&id_, o.program.c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_ends[1]);
    Check(failed == 0, "{}: cannot be run; name it with --linnet", o.program);
    std::string out;
    for (char c; out.find('\n') == std::string::npos && read(pipe_ends[0], &c, 1) == 1;) out += c;
    out_ = pipe_ends[0];
    const size_t colon = out.rfind(':');
    Check(colon != std::string::npos, "{} serve did not start: {}", o.program, out);
    port_ = static_cast<uint16_t>(std::stoi(out.substr(colon + 1)));
  }
  ~ServeProcess() {
    kill(id_, SIGTERM);
    waitpid(id_, nullptr, 0);
    close(out_);
  }
  ServeProcess(const ServeProcess&) = delete;
  ServeProcess& operator=(const ServeProcess&) = delete;

  uint16_t port() const { return port_; }
  /// Of all its threads so far.
  double CpuSeconds() const { return CpuSecondsOf(fmt::format("/proc/{}/stat", id_)); }

  /// The same by the names of its threads.
  std::map<std::string, double> ThreadSeconds() const {
    std::map<std::string, double> seconds;
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", id_))) {
      std::string name;
      std::ifstream(entry.path() / "comm") >> name;
      seconds[name] += CpuSecondsOf(entry.path() / "stat");
    }
    return seconds;
  }

 private:
  pid_t id_ = -1;
  int out_ = -1;
  uint16_t port_ = 0;
};

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Check(fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
        "cannot connect to port {}", port);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

/// What /metrics says of the server.
class Metrics {
 public:
  explicit Metrics(uint16_t port) {
    const int fd = Connect(port);
    const std::string request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    Check(write(fd, request.data(), request.size()) == static_cast<ssize_t>(request.size()), "no request");
    char bytes[4096];
    for (ssize_t count; (count = read(fd, bytes, sizeof bytes)) > 0;)
      text_.append(bytes, static_cast<size_t>(count));
    close(fd);
  }
  double Value(const std::string& name) const {
    const size_t at = text_.find("\nlinnet_" + name + " ");
    Check(at != std::string::npos, "/metrics: has no {}", name);
    return std::stod(text_.substr(at + name.size() + 9));
  }

 private:
  std::string text_;
};

/// A connection that has one stream after another.
class StreamClient {
 public:
  StreamClient(uint16_t port, int number, int64_t tokens)
      : fd_(Connect(port)), number_(number), tokens_(tokens) {
    fcntl(fd_, F_SETFL, O_NONBLOCK);
  }
  ~StreamClient() { close(fd_); }
  StreamClient(const StreamClient&) = delete;
  StreamClient& operator=(const StreamClient&) = delete;

  int fd() const { return fd_; }
  bool Ask() {
    const nlohmann::json body = {{"prompt", fmt::format("Question: {} and {}?\nAnswer:", number_, streams_)},
                                 {"max_tokens", tokens_},
                                 {"seed", 1000 * streams_ + number_},
                                 {"ignore_eos", true},
                                 {"stream", true}};
    const std::string text = body.dump();
    const std::string request =
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{}",
                    text.size(), text);
    ++streams_;
    begun_ = done_ = false;
    last_ = {};
    return write(fd_, request.data(), request.size()) == static_cast<ssize_t>(request.size());
  }

  enum class Came { kSome, kEnd, kError };
  /// Takes what has come.
  Came Read(Times& between) {
    char bytes[16384];
    const ssize_t count = recv(fd_, bytes, sizeof bytes, 0);
    if (count < 0 && errno == EAGAIN) return Came::kSome;
    if (count <= 0) return Came::kError;
    buffer_.append(bytes, static_cast<size_t>(count));
    if (!begun_) {
      const size_t end = buffer_.find("\r\n\r\n");
      if (end == std::string::npos) return Came::kSome;
      if (!buffer_.starts_with("HTTP/1.1 200")) return Came::kError;
      buffer_.erase(0, end + 4);
      begun_ = true;
    }
    return ReadChunks(between);
  }

 private:
  Came ReadChunks(Times& between) {
    size_t at = 0;
    Came came = Came::kSome;
    while (came == Came::kSome) {
      const size_t line = buffer_.find("\r\n", at);
      if (line == std::string::npos) break;
      const size_t size = std::stoul(buffer_.substr(at, line - at), nullptr, 16);
      if (line + 2 + size + 2 > buffer_.size()) break;
      const std::string_view chunk(buffer_.data() + line + 2, size);
      at = line + 2 + size + 2;
      if (size == 0) {
        came = done_ ? Came::kEnd : Came::kError;
      } else if (chunk.starts_with("data: {\"error\"")) {
        came = Came::kError;
      } else if (chunk.starts_with("data: [DONE]")) {
        done_ = true;
      } else {
        Note(between);
      }
    }
    buffer_.erase(0, at);
    return came;
  }

  void Note(Times& between) {
    const Clock::time_point now = Clock::now();
    if (last_ != Clock::time_point()) between.Add(std::chrono::duration<double>(now - last_).count());
    last_ = now;
  }

  int fd_, number_;
  int64_t tokens_, streams_ = 0;
  bool begun_ = false, done_ = false;
  Clock::time_point last_;
  std::string buffer_;
};

/// All clients, on one thread.
class StreamClients {
 public:
  StreamClients(uint16_t port, const HttpStreamsOptions& o) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    for (int i = 0; i < o.connections; ++i) {
      clients_.push_back(std::make_unique<StreamClient>(port, i, o.tokens));
      epoll_event event{.events = EPOLLIN, .data = {.u64 = static_cast<uint64_t>(i)}};
      epoll_ctl(epoll_, EPOLL_CTL_ADD, clients_.back()->fd(), &event);
      if (!clients_.back()->Ask()) Lose(static_cast<size_t>(i));
    }
  }
  ~StreamClients() { close(epoll_); }
  StreamClients(const StreamClients&) = delete;
  StreamClients& operator=(const StreamClients&) = delete;

  /// For so long; returns the times between tokens.
  Times Run(double seconds) {
    Times between;
    epoll_event events[256];
    for (const auto start = Clock::now(); SecondsSince(start) < seconds;) {
      const int count = epoll_wait(epoll_, events, 256, 100);
      for (int i = 0; i < count; ++i) Take(events[i].data.u64, between);
    }
    return between;
  }
  int64_t errors() const { return errors_; }
  int64_t ended() const { return ended_; }

 private:
  void Take(size_t index, Times& between) {
    if (!clients_[index]) return;
    const auto came = clients_[index]->Read(between);
    if (came == StreamClient::Came::kError) return Lose(index);
    if (came != StreamClient::Came::kEnd) return;
    ++ended_;
    if (!clients_[index]->Ask()) Lose(index);
  }
  void Lose(size_t index) {
    ++errors_;
    clients_[index].reset();
  }

  int epoll_;
  std::vector<std::unique_ptr<StreamClient>> clients_;
  int64_t errors_ = 0, ended_ = 0;
};

double OwnCpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double BatchedDecode(const LoadedModel& model, int batch) {
  return RunBenchmark(model,
                      {.rounds = 3, .batch = batch, .bandwidth_bytes = size_t{256} << 20, .on_progress = {}})
      .batched.tokens_per_s;
}

void RaiseFileLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

nlohmann::json RunClients(const HttpStreamsOptions& o, double& tokens_per_s) {
  constexpr double kWarm = 3;  // seconds until all slots are taken
  ServeProcess server(o);
  StreamClients clients(server.port(), o);
  clients.Run(kWarm);
  nlohmann::json report;
  Times all;
  const auto start = Clock::now();
  const double tokens = Metrics(server.port()).Value("tokens_total"), own = OwnCpuSeconds(),
               cpu = server.CpuSeconds();
  const auto threads = server.ThreadSeconds();
  double before = tokens;
  for (double left = 60 * o.minutes; left > 0.5; left = 60 * o.minutes - SecondsSince(start)) {
    const auto begin = Clock::now();
    const Times between = clients.Run(std::min(60.0, left));
    const Metrics metrics(server.port());
    const double now = metrics.Value("tokens_total");
    nlohmann::json minute = between.Report();
    minute["tokens_per_s"] = (now - std::exchange(before, now)) / SecondsSince(begin);
    minute["resident_mb"] = metrics.Value("resident_memory_bytes") / 1e6;
    std::fprintf(stderr, "server_bench: %s\n", minute.dump().c_str());
    report["minutes"].push_back(std::move(minute));
    all.Add(between);
  }
  const double seconds = SecondsSince(start);
  tokens_per_s = (before - tokens) / seconds;
  report["seconds"] = seconds;
  report["errors"] = clients.errors();
  report["streams_ended"] = clients.ended();
  report["between_tokens"] = all.Report();
  report["client_cores"] = (OwnCpuSeconds() - own) / seconds;
  report["server_cores"] = (server.CpuSeconds() - cpu) / seconds;
  for (const auto& [name, now] : server.ThreadSeconds()) {
    const auto then = threads.find(name);
    const double spent = now - (then == threads.end() ? 0 : then->second);
    report["server_us_per_token"][name] = 1e6 * spent / (before - tokens);
  }
  return report;
}

}  // namespace

nlohmann::json HttpStreams(const LoadedModel& model, const HttpStreamsOptions& options) {
  RaiseFileLimit();
  const double before = BatchedDecode(model, options.slots);
  double tokens_per_s = 0;
  nlohmann::json report = RunClients(options, tokens_per_s);
  const double after = BatchedDecode(model, options.slots), decode = (before + after) / 2;
  report.update({{"connections", options.connections},
                 {"slots", options.slots},
                 {"tokens_each", options.tokens},
                 {"tokens_per_s", tokens_per_s},
                 {"bench_batched_decode_tokens_per_s", {before, after}},
                 {"share", tokens_per_s / decode}});
  return report;
}

}  // namespace linnet::bench
