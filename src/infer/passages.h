// Passages: many sequences of tokens of all lengths through one model, packed into batches of a few hundred
// rows. Short ones share a batch, a long one is read in pieces and its state carried from one to the next, so
// memory depends on none of the lengths. All scoring of texts is done on top of this.
//
// The states that passages begin with and leave can be kept and shared: what is common to many texts is read
// once, and each of them goes on from a copy.
//
// A text is cut as Prefill() cuts it, or where a cut changes no bit (kCutRows), so what is read is the same
// to the bit whatever is read beside it. A kept state is no cut that is felt if it has seen a multiple of
// kCutRows, and at least as many tokens are read after it.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "nn/model.h"

namespace linnet {

struct Passage {
  std::vector<int> tokens;
  /// What the model says after tokens [begin, end) is wanted; reading stops there. end > begin.
  size_t begin = 0, end = 0;
  /// The kept state that it continues, or -1: it begins with the model's initial state.
  int from = -1;
  /// Tokens that the kept state has seen.
  size_t before = 0;
  /// Where its last state is kept, or -1: nowhere.
  int keep = -1;
};

/// The passage in which tokens [first, size) are predicted, each after all before it; first >= 1.
Passage Predicting(std::vector<int> tokens, size_t first = 1);

/// An output that was wanted: what the model says after passage->tokens[position].
struct PassageRow {
  int64_t index;  // of the passage, in the order in which they came
  const Passage* passage;
  size_t position;
};

class PassageReader {
 public:
  /// Gives the next passage; false if there is none.
  using Next = std::function<bool(Passage& passage)>;
  /// Receives hidden states [rows.size(), C] and what they belong to: passage by passage, in order.
  using Rows = std::function<void(const Tensor& hidden, std::span<const PassageRow> rows)>;

  /// `model` must outlive the reader; `kept` states can be kept.
  explicit PassageReader(const LoadedModel& model, int kept = 0);

  /// Reads passages until there are none left. A state kept by one of them may be continued by those of a
  /// later call only. Throws Error if a passage wants nothing or has a token that the model lacks.
  void Read(const Next& next, const Rows& rows);

 private:
  struct Pack;
  void Fill(const Next& next, Pack& pack);
  int SlotFor(const Passage& passage);

  const LoadedModel& model_;
  int kept_, next_slot_ = 0;
  State state_;
};

/// What a model made of a token that it was to predict.
struct TokenScore {
  double loss;     // -log of its probability, in nats
  bool likeliest;  // no token was likelier; of equally likely ones the first counts as the likeliest
};

/// The score of targets[i] after row i of `hidden` [N, C]. Logits exist for a few rows at a time. Throws
/// Error if a loss is not a number: the weights are damaged.
std::vector<TokenScore> ScoreTargets(const Model& model, const Tensor& hidden, std::span<const int> targets);

/// Receives the score of passage.tokens[position].
using VisitScore =
    std::function<void(int64_t index, const Passage& passage, size_t position, const TokenScore& score)>;

/// Reads passages made by Predicting() and scores the tokens that they predict, in order.
void ScorePassages(const Model& model, PassageReader& reader, const PassageReader::Next& next,
                   const VisitScore& visit);

}  // namespace linnet
