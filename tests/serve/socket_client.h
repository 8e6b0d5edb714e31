// A client of one connection that says exactly what a test wants it to.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace linnet {

class SocketClient {
 public:
  explicit SocketClient(uint16_t port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    timeval limit{20, 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  ~SocketClient() { Close(); }
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  void Close() {
    if (socket_ >= 0) close(std::exchange(socket_, -1));
  }
  bool Say(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  /// All up to and including `end`; what there is if the server closes.
  std::string ReadTo(const std::string& end) {
    size_t at;
    while ((at = read_.find(end)) == std::string::npos && ReadSome()) {
    }
    const size_t size = at == std::string::npos ? read_.size() : at + end.size();
    std::string text = read_.substr(0, size);
    read_.erase(0, size);
    return text;
  }
  std::string ReadBytes(size_t count) {
    while (read_.size() < count && ReadSome()) {
    }
    std::string text = read_.substr(0, count);
    read_.erase(0, count);
    return text;
  }
  std::string ReadAll() {
    while (ReadSome()) {
    }
    return std::exchange(read_, "");
  }

 private:
  bool ReadSome() {
    char bytes[4096];
    const ssize_t count = recv(socket_, bytes, sizeof(bytes), 0);
    if (count > 0) read_.append(bytes, static_cast<size_t>(count));
    return count > 0;
  }

  int socket_;
  std::string read_;
};

}  // namespace linnet
