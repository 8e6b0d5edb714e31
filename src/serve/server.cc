#include "serve/server.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <thread>
#include <vector>

#include "serve/server_connection.h"

namespace linnet {

using namespace server;  // NOLINT: the parts of this very thing

namespace {

constexpr auto kRetryAccept = std::chrono::milliseconds(100);

/// As many open files as this process may have: each connection is one.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

tcp::endpoint Resolve(asio::io_context& io, const std::string& host, uint16_t port) {
  beast::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (!error) return {address, port};
  const auto found = tcp::resolver(io).resolve(host, std::to_string(port), error);
  Check(!error && !found.empty(), "--host {}: is no address and no name that has one ({})", host,
        error.message());
  return found.begin()->endpoint();
}

}  // namespace

struct Server::Impl {
  Impl(Options server_options, Router::Options router_options)
      : routing(std::move(router_options)),
        shared(io),
        acceptor(asio::make_strand(io)),
        pause(acceptor.get_executor()) {
    shared.options = std::move(server_options);
  }

  void Listen() {
    const Options& options = shared.options;
    const tcp::endpoint endpoint = Resolve(io, options.host, options.port);
    const bool loopback = endpoint.address().is_loopback();
    Check(loopback || !routing.keys.empty(),
          "--host {}: other machines can reach this address, so the server needs API keys: put some into a "
          "file, "
          "one a line, and add --api-key-file FILE",
          options.host);
    routing.local_names_only = loopback && routing.keys.empty();
    beast::error_code error;
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(4096, error);
    if (!error) bound = acceptor.local_endpoint(error);
    Check(!error, "--host {} --port {}: cannot listen there: {}; choose another --port, or 0 for a free one",
          options.host, options.port, error.message());
  }

  void Accept() {
    acceptor.async_accept(asio::make_strand(io), [this](beast::error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
      if (error) {  // no more files, mostly
        pause.expires_after(kRetryAccept);
        return pause.async_wait([this](beast::error_code stopped) {
          if (!stopped) Accept();
        });
      }
      if (shared.open < shared.options.max_connections)
        std::make_shared<Connection>(shared, std::move(socket))->Start();
      Accept();
    });
  }

  std::vector<std::shared_ptr<Connection>> Connections() {
    std::vector<std::shared_ptr<Connection>> connections;
    const std::lock_guard lock(shared.mutex);
    for (const auto& entry : shared.all) {
      if (auto connection = entry.second.lock()) connections.push_back(std::move(connection));
    }
    return connections;
  }

  void RunThread() {
    pthread_setname_np(pthread_self(), "http");
    for (bool done = false; !done;) {
      try {
        io.run();
        done = true;
      } catch (const std::exception& error) {  // one connection's; the others go on
        fmt::print(stderr, "linnet: a connection failed: {}\n", error.what());
      }
    }
  }

  Router::Options routing;
  Shared shared;
  asio::io_context io;
  tcp::acceptor acceptor;
  tcp::endpoint bound;
  asio::steady_timer pause;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::vector<std::thread> threads;
};

Server::Server(Options options, Router::Options routing)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(routing))) {
  RaiseFileLimit();
  const std::string& log = impl_->shared.options.access_log;
  if (!log.empty()) impl_->shared.access_log.emplace(log);
  impl_->Listen();
}

Server::~Server() { Stop(Milliseconds(0)); }

uint16_t Server::port() const { return impl_->bound.port(); }

std::string Server::url() const {
  const tcp::endpoint& endpoint = impl_->bound;
  const std::string address = endpoint.address().to_string();
  return fmt::format("http://{}:{}", endpoint.address().is_v6() ? "[" + address + "]" : address,
                     endpoint.port());
}

bool Server::draining() const { return impl_->shared.draining; }

void Server::Start(std::vector<HttpRoute> routes) {
  Impl& impl = *impl_;
  impl.shared.router.emplace(impl.routing, std::move(routes));
  impl.shared.handlers.emplace(impl.shared.options.handler_threads);
  impl.work.emplace(impl.io.get_executor());
  asio::post(impl.acceptor.get_executor(), [&impl] { impl.Accept(); });
  for (int i = 0; i < impl.shared.options.threads; ++i)
    impl.threads.emplace_back([&impl] { impl.RunThread(); });
}

void Server::WaitForSignal() {
  asio::io_context io;
  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([](beast::error_code, int) {});
  io.run();
}

void Server::Drain() {
  if (impl_->shared.draining.exchange(true)) return;
  asio::post(impl_->acceptor.get_executor(), [this] {
    beast::error_code ignored;
    impl_->acceptor.close(ignored);
  });
  for (const auto& connection : impl_->Connections()) connection->CloseIfIdle();
}

void Server::Stop(Milliseconds limit) {
  if (impl_->threads.empty()) return;
  Drain();
  const auto end = std::chrono::steady_clock::now() + limit;
  while (impl_->shared.running > 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(Milliseconds(5));
  for (const auto& connection : impl_->Connections()) connection->Abort();
  impl_->work.reset();
  // What is left are timers and the last bytes of connections that have been closed.
  const auto closed = std::chrono::steady_clock::now() + Milliseconds(200);
  while (impl_->shared.open > 0 && std::chrono::steady_clock::now() < closed)
    std::this_thread::sleep_for(Milliseconds(5));
  impl_->shared.handlers->join();
  impl_->io.stop();
  for (std::thread& thread : impl_->threads) thread.join();
  impl_->threads.clear();
  impl_->shared.outbox.Close();
}

HttpFigures Server::Figures() const {
  const Shared& s = impl_->shared;
  return {.connections = s.connections,
          .open_connections = s.open,
          .requests = s.requests,
          .running = s.running,
          .replies_2xx = s.replies[2] + s.replies[3],
          .replies_4xx = s.replies[4],
          .replies_5xx = s.replies[5],
          .gone = s.gone,
          .bytes_in = s.bytes_in,
          .bytes_out = s.bytes_out};
}

}  // namespace linnet
