// Server: HTTP/1.1 over TCP. A few threads read requests, hand them to a Router's handlers, and write what
// these answer, each piece as soon as the client takes it. What a client may cost is limited: connections,
// bytes of headers, body and unread answer, and the time for each. A client that goes is noticed even while
// nothing is written to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "serve/router.h"

namespace linnet {

struct HttpFigures {
  int64_t connections = 0;       // since the start
  int64_t open_connections = 0;  // now
  int64_t requests = 0, running = 0;
  int64_t replies_2xx = 0, replies_4xx = 0, replies_5xx = 0, gone = 0;
  int64_t bytes_in = 0, bytes_out = 0;
};

class Server {
 public:
  using Milliseconds = std::chrono::milliseconds;

  struct Options {
    std::string host = "127.0.0.1";  // an address, or a name that has one
    uint16_t port = 8080;            // 0: a free one
    int threads = 2;                 // that read and write
    int handler_threads = 4;         // that handlers run on
    int max_connections = 10000;
    uint32_t max_header_bytes = 32 << 10;
    uint64_t max_body_bytes = 16 << 20;
    size_t max_unread_bytes = 4 << 20;  // of a stream
    std::string access_log = {};        // a file, or "-" (serve/access_log.h); "": none
    Milliseconds header_timeout{20'000}, idle_timeout{75'000}, body_timeout{60'000}, write_timeout{30'000};
  };

  /// Binds the port. Throws Error, saying what to do, if that fails, if other machines could reach it and it
  /// needs no key, or if the access log cannot be written.
  Server(Options options, Router::Options routing);
  ~Server();

  uint16_t port() const;
  /// "http://127.0.0.1:8080"
  std::string url() const;
  bool draining() const;

  /// Begins to accept connections. Handlers run on threads of their own.
  void Start(std::vector<HttpRoute> routes);
  /// Waits for SIGTERM or SIGINT.
  void WaitForSignal();
  /// Takes no more connections and answers further requests with status 503. Replies that were begun go on.
  void Drain();
  /// Drains, waits until all replies are written or `limit` is over, and closes what is left.
  void Stop(Milliseconds limit);

  HttpFigures Figures() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace linnet
