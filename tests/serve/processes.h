// What it takes to run other programs beside a test: free ports, processes that end with the test, a real
// redis-server.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cli/program.h"

namespace linnet {

/// Calls `call` with the address of a port of this machine and a socket for it.
template <class Call>
int OnLoopback(int port, const Call& call) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int result = call(fd, address);
  close(fd);
  return result;
}

/// A port of 127.0.0.1 that nobody listens on just now.
inline int FreePort() {
  const int port = OnLoopback(0, [](int fd, sockaddr_in& address) {
    socklen_t length = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    return bind(fd, any, length) == 0 && getsockname(fd, any, &length) == 0 ? ntohs(address.sin_port) : 0;
  });
  Check(port > 0, "no free port");
  return port;
}

/// Whether somebody listens there within so many seconds.
inline bool Answers(int port, int seconds = 20) {
  for (int attempt = 0; attempt < seconds * 50; ++attempt) {
    const int connected = OnLoopback(port, [](int fd, sockaddr_in& address) {
      return connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 1 : 0;
    });
    if (connected) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

inline bool HasProgram(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

/// A program that runs beside the test and is killed with the object.
class Process {
 public:
  /// What it prints goes to `log`.
  Process(const std::vector<std::string>& command, const std::filesystem::path& log) {
    std::vector<char*> words;
    for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    const int error = posix_spawnp(&pid_, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    Check(error == 0, "{} cannot be started", command[0]);
  }
  ~Process() { Stop(SIGKILL); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Sends the signal and waits for the end.
  void Stop(int signal) {
    if (pid_ <= 0) return;
    kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

/// A redis-server that keeps what it has over a restart.
class RedisServer {
 public:
  explicit RedisServer(std::string password = "") : password_(std::move(password)) { Start(); }

  static bool Available() { return HasProgram("redis-server"); }

  void Start() {
    std::vector<std::string> command = {
        "redis-server", "--port", std::to_string(port_),  "--bind", "127.0.0.1",
        "--save",       "",       "--appendonly",         "yes",    "--appendfsync",
        "always",       "--dir",  (folder_ / "").string()};
    if (!password_.empty()) command.insert(command.end(), {"--requirepass", password_});
    process_.emplace(command, folder_ / "log");
    Check(Answers(port_), "redis-server does not answer: {}", ReadFile(folder_ / "log"));
  }
  void Stop(int signal = SIGTERM) { process_->Stop(signal); }

  int port() const { return port_; }
  std::string url() const {
    return fmt::format("redis://{}127.0.0.1:{}/0", password_.empty() ? "" : ":" + password_ + "@", port_);
  }

 private:
  TemporaryFolder folder_;
  std::string password_;
  int port_ = FreePort();
  std::optional<Process> process_;
};

}  // namespace linnet
