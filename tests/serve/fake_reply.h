// A reply that a test looks at.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/http.h"

namespace linnet {

class FakeReply : public HttpReply {
 public:
  void Send(int code, std::string_view type, std::string text, const HttpHeaders& more = {}) override {
    Begin(code, type, more);
    Write(std::move(text));
    End();
  }
  void Begin(int code, std::string_view type, const HttpHeaders& more = {}) override {
    const std::lock_guard lock(mutex_);
    status = code;
    content_type = type;
    headers = more;
  }
  void Write(std::string piece) override {
    const std::lock_guard lock(mutex_);
    pieces.push_back(piece);
    body += piece;
    changed_.notify_all();
  }
  void End() override {
    const std::lock_guard lock(mutex_);
    ended = true;
    changed_.notify_all();
  }
  size_t pending_bytes() const override { return 0; }
  void OnGone(std::function<void()> gone) override { gone_ = std::move(gone); }

  /// Waits until the reply has ended.
  void Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended; });
  }
  /// Waits until this many pieces were written.
  void WaitForPieces(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended || pieces.size() >= count; });
  }
  /// The client goes.
  void Go() { gone_(); }

  int status = 0;
  std::string content_type, body;
  std::vector<std::string> pieces;
  HttpHeaders headers;
  bool ended = false;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> gone_;
};

}  // namespace linnet
