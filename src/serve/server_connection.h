// A connection of the server and the replies on it; included by server*.cc alone.
//
//   ReadHeader -> ReadBody -> Handle (the Router) ... Write, Write, ... last -> ReadHeader or Close
//
// All of it runs on the connection's strand, but for what a Reply calls: Write() keeps bytes and puts the
// connection into the outbox. There a thread takes one connection after the other and sends what each has, as
// far as its client takes it at once, which is nearly always all; the strand only sends what is left. So a
// piece of an answer costs one system call, and those that come together one hand-over. While a reply is
// awaited the socket is watched, so that a client that goes is noticed.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "serve/access_log.h"
#include "serve/server.h"

namespace linnet::server {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;

class Connection;

/// Connections that have something to send; for any thread.
class Outbox {
 public:
  explicit Outbox(asio::io_context& io) : io_(io) {}
  void Add(std::shared_ptr<Connection> connection);
  /// Forgets them, and takes no more.
  void Close();

 private:
  void Post();
  void Send();

  asio::io_context& io_;
  std::mutex mutex_;
  std::vector<std::shared_ptr<Connection>> ready_;
  bool posted_ = false, closed_ = false;
};

/// What all connections of a server share.
struct Shared {
  explicit Shared(asio::io_context& io) : outbox(io) {}

  Server::Options options;
  Outbox outbox;
  std::optional<Router> router;
  std::optional<asio::thread_pool> handlers;
  std::optional<AccessLog> access_log;
  std::atomic<bool> draining = false;
  std::atomic<int64_t> connections = 0, open = 0, requests = 0, running = 0, gone = 0, bytes_in = 0,
                       bytes_out = 0;
  std::array<std::atomic<int64_t>, 6> replies{};  // by the first digit of their status
  std::mutex mutex;
  std::unordered_map<Connection*, std::weak_ptr<Connection>> all;
};

/// A reply to the connection's request; see HttpReply. One that is let go without an end is ended.
class Reply : public HttpReply {
 public:
  struct Form {
    bool head_only = false, chunks = true, keep_alive = true;
    HttpHeaders common;
    Access access;  // what is known of it yet
  };
  Reply(std::shared_ptr<Connection> connection, Form form);
  ~Reply() override;

  void Send(int status, std::string_view content_type, std::string body, const HttpHeaders& headers) override;
  void Begin(int status, std::string_view content_type, const HttpHeaders& headers) override;
  void Write(std::string piece) override;
  void End() override;
  void CountTokens(int64_t prompt, int64_t written) override;
  size_t pending_bytes() const override;
  void OnGone(std::function<void()> gone) override;

  /// The client has gone.
  void SetGone();

 private:
  enum class Part { kNothing, kBegun, kEnded };
  std::string Head(int status, std::string_view content_type, const HttpHeaders& headers,
                   std::optional<size_t> length);
  bool Take(Part from, Part to);
  void WriteOut(std::string bytes, bool last);
  /// In the access log, if there is one.
  void Note();

  const std::shared_ptr<Connection> connection_;
  Form form_;
  std::mutex mutex_;
  Part part_ = Part::kNothing;
  bool gone_ = false, has_body_ = true;
  std::vector<std::function<void()>> on_gone_;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Shared& shared, tcp::socket socket);
  ~Connection();

  void Start();
  /// Bytes for the client, from any thread. After the `last` ones of a reply the next request is read, or, to
  /// `close`, none.
  void Write(std::string bytes, bool last, bool close);
  /// Sends what the client takes at once, from any thread.
  void Send();
  /// From any thread.
  void Abort();
  void CloseIfIdle();
  size_t pending_bytes() const;
  Shared& shared() { return shared_; }

 private:
  using Error = beast::error_code;

  void ReadHeader(Server::Milliseconds limit);
  void OnHeader(Error error);
  void ReadBody();
  void OnBody(Error error);
  void Handle();
  void FillRequest();
  std::shared_ptr<Reply> NewReply(bool keep_alive);
  void Refuse(const HttpError& error);
  void RefuseUnreadable(Error error);

  void Watch();
  /// Sends what the client did not take at once, piece by piece.
  void SendRest();
  void OnWritten(Error error, size_t bytes);
  void FinishReply();
  void Linger();
  void Discard();
  void SetGone();

  Shared& shared_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpRequest request_;
  const HttpRoute* route_ = nullptr;
  std::weak_ptr<Reply> reply_;
  bool idle_ = true, replying_ = false;
  uint64_t turn_ = 0;  // counts replies, so that what belongs to an older one is known

  mutable std::mutex mutex_;
  std::string pending_, sending_;  // bytes that have come; those of them that are being sent
  size_t sent_ = 0;                // of `sending_`
  bool scheduled_ = false;         // it is in the outbox
  bool waiting_ = false;           // SendRest() has what is to be sent
  bool last_ = false, close_ = false;
  bool closed_ = false;  // set before the socket is closed: its number may then be another's
};

}  // namespace linnet::server
