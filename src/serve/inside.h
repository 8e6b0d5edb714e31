// Inside: what goes on in a model while it reads a text, for the page that shows it: what it expected at each
// token, how large its state is after it, and how fast it forgets.
//
//   POST /v1/inside {"messages" or "prompt", "lora", "state", "top_logprobs", "last"}
//   -> {"object": "inside", "model", "first", "answer", "tokens": [{"token", "bytes", "logprob",
//       "top_logprobs"}], "heads": [of each layer], "norms": [[of each head of each layer] of each token],
//       "decays": [[of each channel] of each layer]}
//
// Only the last tokens (`last`, 512 unless it says otherwise) are looked at; `first` were read before them.
// At `answer` among them the last message begins if it is the assistant's. A norm is the Frobenius norm of a
// head's wkv state after the token; for RWKV-4, which has no heads, of the averages that its layer keeps. The
// first token of a text has the logprob null.
//
// It runs on a thread of its own, one text at a time, beside what the engine does.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "serve/chat_request.h"
#include "serve/http.h"

namespace linnet {

/// What was seen of a text.
struct Inside {
  int64_t first = 0;                // tokens before those that were looked at
  std::vector<ScoredToken> tokens;  // the first has no `top` if nothing stood before it
  std::vector<int> heads;           // of each layer
  /// A token: the norms of all heads of all layers.
  std::vector<std::vector<float>> norms;
};

/// Reads a text in a state of its own and looks at its `last` tokens, naming the `top` likeliest at each.
/// Stops early, with what it has, when `over` becomes true. Throws Error if the text is empty or a token is
/// not in the vocabulary.
Inside LookInside(const LoadedModel& model, const Tokenizer& tokenizer, std::span<const int> tokens,
                  const Variant& variant, int64_t last, int top, const std::atomic<bool>& over);

/// Answers requests, one text at a time, on a thread of its own; while it looks at one, others are refused
/// (429).
class InsideReader {
 public:
  /// `served` must outlive it.
  explicit InsideReader(const Served& served) : served_(served) {}
  /// Gives up what it looks at.
  ~InsideReader();
  InsideReader(const InsideReader&) = delete;
  InsideReader& operator=(const InsideReader&) = delete;

  /// Throws HttpError.
  void Answer(const HttpRequest& request, const std::shared_ptr<HttpReply>& reply);

 private:
  const Served& served_;
  std::mutex mutex_;
  std::atomic<bool> busy_ = false;
  std::shared_ptr<std::atomic<bool>> over_;
  std::jthread thread_;
};

/// `reader` must outlive the routes' last request.
std::vector<HttpRoute> InsideRoutes(InsideReader& reader);

}  // namespace linnet
