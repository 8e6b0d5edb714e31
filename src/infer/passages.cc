#include "infer/passages.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

#include "base/parallel.h"
#include "infer/generator.h"
#include "ops/ops.h"

namespace linnet {
namespace {

/// Logits that exist at a time: 16 MB, a part of the last-level cache.
constexpr Dim kLogitsPerChunk = 4 << 20;
/// Passages in a batch, and what their states may take.
constexpr int kMostSlots = 32;
constexpr size_t kStateBytes = size_t{256} << 20;

int WorkingSlots(const LoadedModel& model) {
  const size_t slot_bytes = std::max<size_t>(model.NewState(1).slot_bytes(), 1);
  return static_cast<int>(std::clamp<size_t>(kStateBytes / slot_bytes, 1, kMostSlots));
}

}  // namespace

Passage Predicting(std::vector<int> tokens, size_t first) {
  Check(first >= 1, "[passages] the first token has none before it to predict it from");
  const size_t size = tokens.size();
  return {std::move(tokens), first - 1, size - 1};
}

/// What one forward pass reads.
struct PassageReader::Pack {
  struct Member {
    Passage passage;
    int64_t index;
    int slot;
    size_t read = 0;

    size_t RowsFor(size_t room) const;
  };
  std::deque<Member> members;  // those of this batch; only the last may have more to read after it
  int64_t passages = 0;        // so far
  Batch batch;
  std::vector<PassageRow> rows;

  bool unfinished() const { return !members.empty() && members.back().read < members.back().passage.end; }
  /// Adds as much of the last member as there is room for.
  void AppendLast();
};

/// How many it reads next. A few tokens after the last multiple of kPrefillRows stand alone, as in Prefill().
size_t PassageReader::Pack::Member::RowsFor(size_t room) const {
  const size_t all = passage.before + passage.end, alone = all % kPrefillRows;
  const size_t done = passage.before + read, border = all - alone;
  const size_t stop = alone < kCutRows && done < border ? border : all, rest = stop - done;
  if (rest <= room) return rest;
  const size_t rows = room / kCutRows * kCutRows;
  return rest - rows >= kCutRows || rows == 0 ? rows : rows - kCutRows;
}

void PassageReader::Pack::AppendLast() {
  Member& member = members.back();
  const Passage& passage = member.passage;
  const size_t stop = member.read + member.RowsFor(kPrefillRows - batch.tokens.size());
  if (stop == member.read) return;
  const auto row = static_cast<int>(batch.tokens.size() - member.read);
  const auto token = [&](size_t i) { return passage.tokens.begin() + static_cast<ptrdiff_t>(i); };
  batch.Append({token(member.read), token(stop)}, member.slot);
  for (size_t i = std::max(member.read, passage.begin); i < stop; ++i) {
    rows.push_back({member.index, &passage, i});
    batch.wanted.push_back(row + static_cast<int>(i));
  }
  member.read = stop;
}

PassageReader::PassageReader(const LoadedModel& model, int kept)
    : model_(model), kept_(kept), state_(model.NewState(kept + WorkingSlots(model))) {}

int PassageReader::SlotFor(const Passage& passage) {
  // One after another: the last of a batch, which may go on in the next one, is never in the way.
  const int slot = kept_ + next_slot_;
  next_slot_ = (next_slot_ + 1) % (state_.slots() - kept_);
  Check(passage.from < kept_ && passage.keep < kept_, "[passages] only {} states are kept", kept_);
  if (passage.from >= 0) {
    state_.Copy(passage.from, slot);
  } else {
    state_.Reset(slot);
  }
  return slot;
}

void PassageReader::Fill(const Next& next, Pack& pack) {
  if (pack.unfinished()) {
    pack.members.erase(pack.members.begin(), pack.members.end() - 1);
  } else {
    pack.members.clear();
  }
  pack.batch = {};
  pack.rows.clear();
  if (pack.unfinished()) pack.AppendLast();
  const auto slots = static_cast<size_t>(state_.slots() - kept_);
  while (!pack.unfinished() && pack.batch.tokens.size() < kPrefillRows && pack.members.size() < slots) {
    Passage passage;
    if (!next(passage)) break;
    Check(passage.begin < passage.end && passage.end <= passage.tokens.size(),
          "[passages] passage {} of {} tokens wants nothing: [{}, {})", pack.passages, passage.tokens.size(),
          passage.begin, passage.end);
    const int slot = SlotFor(passage);
    pack.members.push_back({std::move(passage), pack.passages++, slot});
    pack.AppendLast();
  }
}

void PassageReader::Read(const Next& next, const Rows& rows) {
  Pack pack;
  for (Fill(next, pack); !pack.batch.tokens.empty(); Fill(next, pack)) {
    Batch& batch = pack.batch;
    // An empty list would ask for all of them.
    if (pack.rows.empty()) batch.wanted = {0};
    if (pack.rows.size() == batch.tokens.size()) batch.wanted.clear();
    const Tensor hidden = model_.model->Hidden(batch, state_);
    for (const Pack::Member& member : pack.members) {
      const bool done = member.read == member.passage.end;
      if (done && member.passage.keep >= 0) state_.Copy(member.slot, member.passage.keep);
    }
    if (!pack.rows.empty()) rows(hidden, pack.rows);
  }
}

namespace {

/// The score of a token among the `vocab` logits of a row.
TokenScore ScoreOf(Backend& backend, const float* logits, Dim vocab, int target) {
  Dim likelier = 0;
  for (Dim id = 0; id < target; ++id) likelier += logits[id] >= logits[target];
  for (Dim id = target + 1; id < vocab; ++id) likelier += logits[id] > logits[target];
  const Tensor row = Tensor::Wrap(nullptr, logits, {1, vocab}, DType::kF32);
  return {backend.SoftmaxLoss(row, {&target, 1}, /*gradient=*/false, 1, 0), likelier == 0};
}

}  // namespace

std::vector<TokenScore> ScoreTargets(const Model& model, const Tensor& hidden, std::span<const int> targets) {
  const Dim rows = hidden.dim(0), vocab = model.head().dim(0);
  const Dim chunk = std::clamp<Dim>(kLogitsPerChunk / vocab, 1, rows);
  Check(static_cast<Dim>(targets.size()) == rows, "[score] {} targets for {} rows", targets.size(), rows);
  for (int target : targets) {
    Check(target >= 0 && target < vocab, "[score] token {} is not in the vocabulary of {}", target, vocab);
  }
  std::vector<TokenScore> scores(targets.size());
  for (Dim begin = 0; begin < rows; begin += chunk) {
    std::vector<int> part(static_cast<size_t>(std::min(chunk, rows - begin)));
    std::iota(part.begin(), part.end(), static_cast<int>(begin));
    const Tensor logits = ops::Linear(ops::Rows(hidden, part), model.head(), model.head_bias());
    Backend& backend = Backend::For(logits.device());
    ParallelFor(static_cast<int64_t>(part.size()), 1, [&](int64_t from, int64_t to) {
      for (int64_t i = from; i < to; ++i) {
        scores[begin + i] = ScoreOf(backend, logits.data() + i * vocab, vocab, targets[begin + i]);
      }
    });
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    Check(!std::isnan(scores[i].loss),
          "[score] the loss of token {} is not a number: the model's weights are damaged, or it diverged in "
          "training",
          targets[i]);
  }
  return scores;
}

void ScorePassages(const Model& model, PassageReader& reader, const PassageReader::Next& next,
                   const VisitScore& visit) {
  reader.Read(next, [&](const Tensor& hidden, std::span<const PassageRow> rows) {
    std::vector<int> targets;
    targets.reserve(rows.size());
    for (const PassageRow& row : rows) targets.push_back(row.passage->tokens.at(row.position + 1));
    const std::vector<TokenScore> scores = ScoreTargets(model, hidden, targets);
    for (size_t i = 0; i < rows.size(); ++i) {
      visit(rows[i].index, *rows[i].passage, rows[i].position + 1, scores[i]);
    }
  });
}

}  // namespace linnet
