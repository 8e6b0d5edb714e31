#include "serve/server_connection.h"

#include <fmt/chrono.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <ctime>
#include <random>
#include <utility>

#include "serve/together.h"

namespace linnet::server {
namespace {

constexpr size_t kSlice = 256 << 10;  // bytes that have the write timeout for themselves
constexpr int kClientGone = 499;      // as nginx has it in its logs
constexpr auto kLinger = std::chrono::seconds(1);
constexpr size_t kBufferSlack = 64 << 10;  // of what may be read beyond a header

bool IsRequestId(const std::string& id) {
  return !id.empty() && id.size() <= 128 && std::ranges::all_of(id, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == ':';
  });
}

std::string NewRequestId() {
  static thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("req_{:016x}", random());
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(now));
}

bool HasNoBody(int status) { return status == 204 || status == 304; }

}  // namespace

void Outbox::Add(std::shared_ptr<Connection> connection) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    ready_.push_back(std::move(connection));
  }
  Together::Later(this, [this] { Post(); });
}

void Outbox::Post() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_ || std::exchange(posted_, true)) return;
  }
  asio::post(io_, [this] { Send(); });
}

void Outbox::Send() {
  std::vector<std::shared_ptr<Connection>> ready;
  {
    const std::lock_guard lock(mutex_);
    posted_ = false;
    ready.swap(ready_);
  }
  for (const auto& connection : ready) connection->Send();
}

void Outbox::Close() {
  std::vector<std::shared_ptr<Connection>> ready;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  ready.swap(ready_);
}

Reply::Reply(std::shared_ptr<Connection> connection, Form form)
    : connection_(std::move(connection)), form_(std::move(form)) {}

Reply::~Reply() {
  if (part_ == Part::kNothing)
    Send(500, "application/json", ErrorJson(500, "the server did not answer this request"), {});
  if (part_ != Part::kBegun) return;
  connection_->Abort();  // what there is must not pass for the whole
  Note();
}

bool Reply::Take(Part from, Part to) {
  const std::lock_guard lock(mutex_);
  if (part_ != from) return false;
  part_ = to;
  return true;
}

std::string Reply::Head(int status, std::string_view content_type, const HttpHeaders& headers,
                        std::optional<size_t> length) {
  ++connection_->shared().replies[static_cast<size_t>(status / 100)];
  {
    const std::lock_guard lock(mutex_);
    form_.access.status = status;
  }
  if (connection_->shared().draining || (!length && !form_.chunks)) form_.keep_alive = false;
  has_body_ = !form_.head_only && !HasNoBody(status);
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", status,
                  std::string_view(http::obsolete_reason(http::int_to_status(status))), HttpDate());
  const auto add = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  if (!content_type.empty()) add("Content-Type", content_type);
  if (length && !HasNoBody(status)) add("Content-Length", std::to_string(*length));
  if (!length && form_.chunks) add("Transfer-Encoding", "chunked");
  add("Connection", form_.keep_alive ? "keep-alive" : "close");
  for (const HttpHeaders* list : {&std::as_const(form_.common), &headers}) {
    for (const auto& [name, value] : *list) add(name, value);
  }
  return head + "\r\n";
}

void Reply::Send(int status, std::string_view content_type, std::string body, const HttpHeaders& headers) {
  if (!Take(Part::kNothing, Part::kEnded)) return;
  std::string bytes = Head(status, content_type, headers, body.size());
  if (has_body_) bytes += body;
  WriteOut(std::move(bytes), true);
}

void Reply::Begin(int status, std::string_view content_type, const HttpHeaders& headers) {
  if (!Take(Part::kNothing, Part::kBegun)) return;
  WriteOut(Head(status, content_type, headers, std::nullopt), false);
}

void Reply::Write(std::string piece) {
  if (!Take(Part::kBegun, Part::kBegun) || piece.empty() || !has_body_) return;
  if (connection_->pending_bytes() > connection_->shared().options.max_unread_bytes)
    return connection_->Abort();
  if (form_.chunks) piece = fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  WriteOut(std::move(piece), false);
}

void Reply::End() {
  if (!Take(Part::kBegun, Part::kEnded)) return;
  WriteOut(form_.chunks && has_body_ ? "0\r\n\r\n" : "", true);
}

void Reply::WriteOut(std::string bytes, bool last) {
  {
    const std::lock_guard lock(mutex_);
    form_.access.bytes += static_cast<int64_t>(bytes.size());
  }
  if (last) Note();  // before the client can know
  connection_->Write(std::move(bytes), last, last && !form_.keep_alive);
}

void Reply::CountTokens(int64_t prompt, int64_t written) {
  const std::lock_guard lock(mutex_);
  form_.access.prompt_tokens += prompt;
  form_.access.tokens += written;
}

void Reply::Note() {
  auto& log = connection_->shared().access_log;
  if (!log) return;
  const std::lock_guard lock(mutex_);
  log->Write(form_.access);
}

size_t Reply::pending_bytes() const { return connection_->pending_bytes(); }

void Reply::OnGone(std::function<void()> gone) {
  {
    const std::lock_guard lock(mutex_);
    if (!gone_) {
      on_gone_.push_back(std::move(gone));
      return;
    }
  }
  gone();
}

void Reply::SetGone() {
  std::vector<std::function<void()>> on_gone;
  {
    const std::lock_guard lock(mutex_);
    if (part_ == Part::kEnded) return;
    gone_ = true;
    part_ = Part::kEnded;
    form_.access.status = kClientGone;
    on_gone.swap(on_gone_);
  }
  Note();
  for (const auto& call : on_gone) call();
}

Connection::Connection(Shared& shared, tcp::socket socket)
    : shared_(shared), stream_(std::move(socket)), buffer_(shared.options.max_header_bytes + kBufferSlack) {
  ++shared_.connections;
  ++shared_.open;
}

Connection::~Connection() {
  if (replying_) --shared_.running;
  --shared_.open;
  const std::lock_guard lock(shared_.mutex);
  shared_.all.erase(this);
}

void Connection::Start() {
  {
    const std::lock_guard lock(shared_.mutex);
    shared_.all.emplace(this, weak_from_this());
  }
  Error ignored;
  stream_.socket().set_option(tcp::no_delay(true), ignored);
  asio::dispatch(stream_.get_executor(),
                 [self = shared_from_this()] { self->ReadHeader(self->shared_.options.header_timeout); });
}

void Connection::ReadHeader(Server::Milliseconds limit) {
  idle_ = true;
  parser_.emplace();
  parser_->header_limit(shared_.options.max_header_bytes);
  parser_->body_limit(shared_.options.max_body_bytes);
  stream_.expires_after(limit);
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = shared_from_this()](Error error, size_t) { self->OnHeader(error); });
}

void Connection::FillRequest() {
  const auto& message = parser_->get();
  request_ = {};
  request_.method = std::string(message.method_string());
  for (const auto& field : message) {
    std::string& value = request_.headers[LowerCase(std::string_view(field.name_string()))];
    const std::string_view text(field.value());
    value = value.empty() ? std::string(text) : value + ", " + std::string(text);
  }
  const std::string wanted = Header(request_, "x-request-id");
  request_.id = IsRequestId(wanted) ? wanted : NewRequestId();
}

std::shared_ptr<Reply> Connection::NewReply(bool keep_alive) {
  if (!replying_) ++shared_.running;
  replying_ = true;
  ++shared_.requests;
  const auto reply = std::make_shared<Reply>(
      shared_from_this(), Reply::Form{.head_only = request_.method == "HEAD",
                                      .chunks = parser_->get().version() >= 11,
                                      .keep_alive = keep_alive && parser_->get().keep_alive(),
                                      .common = shared_.router->CommonHeaders(request_),
                                      .access = {.method = request_.method, .path = request_.path}});
  reply_ = reply;
  return reply;
}

void Connection::Refuse(const HttpError& error) { Router::SendError(error, *NewReply(parser_->is_done())); }

void Connection::RefuseUnreadable(Error error) {
  const auto& limits = shared_.options;
  if (request_.id.empty()) request_.id = NewRequestId();
  if (error == http::error::body_limit)
    return Refuse(
        HttpError(413, fmt::format("the request's body is longer than this server's limit of {} bytes",
                                   limits.max_body_bytes)));
  if (error == http::error::header_limit)
    return Refuse(
        HttpError(431, fmt::format("the request's headers are longer than this server's limit of {} "
                                   "bytes",
                                   limits.max_header_bytes)));
  // Whoever goes or is too slow gets no answer.
  if (error.category() != make_error_code(http::error::bad_method).category() ||
      error == http::error::end_of_stream || error == http::error::partial_message)
    return SetGone();
  Refuse(HttpError(400, fmt::format("this is no HTTP request: {}", error.message())));
}

void Connection::OnHeader(Error error) {
  idle_ = false;
  request_ = {};
  route_ = nullptr;
  if (error) return RefuseUnreadable(error);
  try {
    FillRequest();
    SetTarget(request_, std::string_view(parser_->get().target()));
    if (shared_.draining && request_.path != "/health") throw StoppingError();
    if (request_.method == "OPTIONS") {
      const HttpHeaders headers = shared_.router->OptionsOf(request_.path);
      return NewReply(parser_->is_done())->Send(204, "", "", headers);
    }
    route_ = &shared_.router->Find(request_);
  } catch (const HttpError& refused) {
    return Refuse(refused);
  }
  ReadBody();
}

void Connection::ReadBody() {
  if (parser_->is_done()) return Handle();
  if (LowerCase(Header(request_, "expect")) == "100-continue") {
    Error ignored;
    asio::write(stream_.socket(), asio::buffer("HTTP/1.1 100 Continue\r\n\r\n", 25), ignored);
  }
  stream_.expires_after(shared_.options.body_timeout);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](Error error, size_t) { self->OnBody(error); });
}

void Connection::OnBody(Error error) {
  if (error) return RefuseUnreadable(error);
  Handle();
}

void Connection::Handle() {
  stream_.expires_never();
  request_.body = std::move(parser_->get().body());
  shared_.bytes_in += static_cast<int64_t>(request_.body.size());
  const std::shared_ptr<Reply> reply = NewReply(true);
  Watch();
  // A handler may take its time, with a long text or a store elsewhere; the streams of others must not wait.
  asio::post(*shared_.handlers, [route = route_, request = std::move(request_), reply] {
    Router::Answer(*route, request, reply);
  });
}

void Connection::Watch() {
  stream_.socket().async_wait(tcp::socket::wait_read, [self = shared_from_this(), turn = turn_](Error error) {
    if (error || turn != self->turn_) return;
    char byte;
    const ssize_t count = recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count > 0) return;  // the next request, before this one is answered
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return self->Watch();
    self->SetGone();
  });
}

void Connection::Write(std::string bytes, bool last, bool close) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (pending_.empty()) {
      pending_ = std::move(bytes);
    } else {
      pending_ += bytes;
    }
    last_ |= last;
    close_ |= close;
    if (std::exchange(scheduled_, true)) return;
  }
  shared_.outbox.Add(shared_from_this());
}

void Connection::Send() {
  bool done = false, rest = false, gone = false;
  {
    const std::lock_guard lock(mutex_);
    scheduled_ = false;
    if (waiting_ || closed_) return;
    sending_.swap(pending_);
    if (!sending_.empty()) {
      const ssize_t count = send(stream_.socket().native_handle(), sending_.data(), sending_.size(),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
      gone = count < 0 && errno != EAGAIN && errno != EINTR;
      sent_ = static_cast<size_t>(std::max<ssize_t>(0, count));
      shared_.bytes_out += static_cast<int64_t>(sent_);
      rest = waiting_ = sent_ < sending_.size();
    }
    if (!waiting_) {
      sending_.clear();
      sent_ = 0;
      done = std::exchange(last_, false);
    }
  }
  if (!done && !rest) return;
  asio::post(stream_.get_executor(), [self = shared_from_this(), done, gone] {
    if (done) return self->FinishReply();
    if (gone) return self->SetGone();
    self->SendRest();
  });
}

void Connection::SendRest() {
  stream_.expires_after(shared_.options.write_timeout);
  const size_t size = std::min(kSlice, sending_.size() - sent_);
  asio::async_write(
      stream_, asio::buffer(sending_.data() + sent_, size),
      [self = shared_from_this()](Error error, size_t count) { self->OnWritten(error, count); });
}

void Connection::OnWritten(Error error, size_t bytes) {
  shared_.bytes_out += static_cast<int64_t>(bytes);
  if (error) return SetGone();
  bool done = false;
  {
    const std::lock_guard lock(mutex_);
    sent_ += bytes;
    if (sent_ == sending_.size()) {
      sending_.clear();
      sent_ = 0;
      sending_.swap(pending_);
    }
    waiting_ = !sending_.empty();
    done = !waiting_ && std::exchange(last_, false);
  }
  if (done) return FinishReply();
  if (waiting_) SendRest();
}

size_t Connection::pending_bytes() const {
  const std::lock_guard lock(mutex_);
  return pending_.size() + sending_.size() - sent_;
}

void Connection::FinishReply() {
  ++turn_;
  if (std::exchange(replying_, false)) --shared_.running;
  reply_.reset();
  Error ignored;
  stream_.socket().cancel(ignored);  // the watch
  bool close;
  {
    const std::lock_guard lock(mutex_);
    close = close_;
    close_ = false;
    closed_ = close;
  }
  request_ = {};
  if (close) return Linger();
  ReadHeader(shared_.options.idle_timeout);
}

/// Closes in a way that lets the client read the last reply: a socket that is closed with bytes unread may
/// take back what was sent.
void Connection::Linger() {
  Error ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  stream_.expires_after(kLinger);
  Discard();
}

void Connection::Discard() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(4096), [self = shared_from_this()](Error error, size_t) {
    if (!error) self->Discard();
  });
}

void Connection::SetGone() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
  }
  ++turn_;
  if (std::exchange(replying_, false)) {
    --shared_.running;
    ++shared_.gone;
  }
  stream_.close();
  if (const auto reply = reply_.lock()) reply->SetGone();
}

void Connection::Abort() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] { self->SetGone(); });
}

void Connection::CloseIfIdle() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    if (self->idle_) self->stream_.close();
  });
}

}  // namespace linnet::server
