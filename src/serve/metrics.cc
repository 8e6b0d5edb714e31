#include "serve/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>

namespace linnet {
namespace {

/// Memory of this process that is in RAM.
int64_t ResidentBytes() {
  int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class Text {
 public:
  void Counter(std::string_view name, std::string_view help, int64_t value) {
    Add("counter", name, help, value);
  }
  template <class T>
  void Gauge(std::string_view name, std::string_view help, T value) {
    Add("gauge", name, help, value);
  }
  /// A counter of several series, each with its label: {"code=\"2xx\"", 5}.
  void Counters(std::string_view name, std::string_view help,
                const std::vector<std::pair<std::string, int64_t>>& series) {
    Describe("counter", name, help);
    for (const auto& [label, value] : series)
      text_ += fmt::format("linnet_{}{{{}}} {}\n", name, label, value);
  }
  std::string Take() { return std::move(text_); }

 private:
  void Describe(std::string_view type, std::string_view name, std::string_view help) {
    text_ += fmt::format("# HELP linnet_{} {}\n# TYPE linnet_{} {}\n", name, help, name, type);
  }
  template <class T>
  void Add(std::string_view type, std::string_view name, std::string_view help, T value) {
    Describe(type, name, help);
    text_ += fmt::format("linnet_{} {}\n", name, value);
  }

  std::string text_;
};

}  // namespace

std::string MetricsText(const EngineFigures& engine, const HttpFigures& http) {
  Text text;
  text.Counters("jobs_total", "Texts that were asked for, by how they went.",
                {{"result=\"taken\"", engine.jobs},
                 {"result=\"failed\"", engine.failed},
                 {"result=\"cancelled\"", engine.cancelled},
                 {"result=\"refused\"", engine.refused}});
  text.Counter("prompt_tokens_total", "Tokens of prompts, cached ones included.", engine.prompt_tokens);
  text.Counter("cached_tokens_total", "Tokens of prompts that did not have to be read.",
               engine.cached_tokens);
  text.Counter("tokens_total", "Tokens written.", engine.tokens);
  text.Counter("steps_total", "Forward passes.", engine.steps);
  text.Gauge("tokens_per_second", "Tokens written, over the last ten seconds.", engine.tokens_per_s);
  text.Gauge("jobs_waiting", "Texts that wait for a slot.", engine.waiting);
  text.Gauge("jobs_reading", "Texts whose prompt is being read.", engine.reading);
  text.Gauge("jobs_writing", "Texts that are being written.", engine.writing);
  text.Gauge("slots", "Texts that can run at once.", engine.slots);
  text.Gauge("cache_bytes", "Memory of kept states.", engine.cache_bytes);
  text.Gauge("cache_entries", "Kept states.", engine.cache_entries);
  text.Counter("cache_hits_total", "Prompts whose beginning was known.", engine.cache_hits);
  text.Counter("cache_misses_total", "Prompts whose beginning was not.", engine.cache_misses);
  text.Counter("http_connections_total", "Connections accepted.", http.connections);
  text.Gauge("http_connections", "Open connections.", http.open_connections);
  text.Counter("http_requests_total", "Requests.", http.requests);
  text.Gauge("http_requests", "Requests that are being answered.", http.running);
  text.Counters("http_replies_total", "Replies, by status.",
                {{"code=\"2xx\"", http.replies_2xx},
                 {"code=\"4xx\"", http.replies_4xx},
                 {"code=\"5xx\"", http.replies_5xx}});
  text.Counter("http_clients_gone_total", "Clients that went before their reply's end.", http.gone);
  text.Counter("http_bytes_in_total", "Bytes of requests' bodies.", http.bytes_in);
  text.Counter("http_bytes_out_total", "Bytes of replies.", http.bytes_out);
  text.Gauge("resident_memory_bytes", "Memory of the process that is in RAM.", ResidentBytes());
  return text.Take();
}

std::vector<HttpRoute> StatusRoutes(const Engine& engine, const Server& server) {
  const auto health = [&server](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    const bool stopping = server.draining();
    reply->Send(stopping ? 503 : 200, "application/json",
                stopping ? R"({"status":"stopping"})" : R"({"status":"ok"})");
  };
  const auto metrics = [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->Send(200, "text/plain; version=0.0.4; charset=utf-8",
                MetricsText(engine.Figures(), server.Figures()));
  };
  return {{"GET", "/health", health, /*open=*/true}, {"GET", "/metrics", metrics}};
}

}  // namespace linnet
