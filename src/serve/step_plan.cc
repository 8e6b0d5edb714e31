#include "serve/step_plan.h"

#include <algorithm>

#include "ops/ops.h"

namespace linnet {
namespace {

/// The first `rows` rows of what is left of a matrix.
std::span<const float> TakeRows(const float*& next, Dim rows, Dim width) {
  const std::span<const float> taken{next, static_cast<size_t>(rows * width)};
  next += rows * width;
  return taken;
}

}  // namespace

void Pass::Append(ActiveJob& job, int rows) {
  const auto first = static_cast<int>(batch_.tokens.size());
  batch_.Append(job.Next(rows), job.slot());
  const ActiveJob::Wanted wanted = job.WantedOf(rows);
  Member member{&job, rows};
  for (int row = wanted.first; row < rows; ++row) {
    if (wanted.logits) logits_rows_.push_back(static_cast<int>(batch_.wanted.size()));
    ++(wanted.logits ? member.logits : member.hidden);
    batch_.wanted.push_back(first + row);
  }
  members_.push_back(member);
}

void Pass::Compute(const LoadedModel& model, const State& state, const Adapters* adapters) noexcept {
  try {
    const AdaptersInForce in_force(adapters);
    if (batch_.wanted.empty()) batch_.wanted = {0};  // none would mean all
    hidden_ = model.model->Hidden(batch_, state);
    const bool all = logits_rows_.size() == batch_.wanted.size();
    if (!logits_rows_.empty())
      logits_ = ops::Linear(all ? hidden_ : ops::Rows(hidden_, logits_rows_), model.model->head());
  } catch (const std::exception& error) {
    failure_ = *error.what() == '\0' ? "unknown" : error.what();
  }
}

void Pass::Advance() {
  if (!failure_.empty()) {
    for (const Member& member : members_) member.job->Fail(failure_);
    return;
  }
  const float *next_hidden = hidden_.data(), *next_logits = logits_ ? logits_.data() : nullptr;
  const Dim vocab = logits_ ? logits_.dim(1) : 0;
  for (const Member& member : members_) {
    const auto own_hidden = TakeRows(next_hidden, member.hidden + member.logits, hidden_.dim(1));
    const auto own_logits = TakeRows(next_logits, member.logits, vocab);
    Guard(*member.job, [&] { member.job->Advance(member.rows, own_hidden, own_logits); });
  }
}

void RecentQuantile::Add(double value) {
  if (kept_.size() < kKept) {
    kept_.push_back(value);
  } else {
    kept_[oldest_] = value;
    oldest_ = (oldest_ + 1) % kKept;
  }
  std::vector<double> sorted = kept_;
  const auto at = sorted.begin() + static_cast<ptrdiff_t>(share_ * static_cast<double>(sorted.size()));
  std::nth_element(sorted.begin(), at, sorted.end());
  value_ = *at;
}

double Pace::Usual(int writing) const {
  // The time of fewer texts is certainly not too long.
  const auto above = usual_s_.upper_bound(writing);
  return above == usual_s_.begin() ? 0 : std::prev(above)->second.value();
}

double Pace::Slice(int writing) const {
  constexpr double kMore = 0.75;  // of the usual time; what is left to 1 is for noise
  return kMore * Usual(writing);
}

Pace::Room Pace::RoomBeside(int writing, int most) {
  constexpr int kStepsBetween = 16;   // two steps without, so that their time stays known
  constexpr int kPassesBetween = 64;  // two tries whether the fewest rows fit into a step by now
  const double slice = Slice(writing);
  if (slice == 0 || steps_since_usual_ >= kStepsBetween) return {};
  const Room fewest{std::min(most, kCutRows)};
  if (row_s_.value() == 0) return fewest;
  // What a row takes depends on how many there are, hence no jumps.
  const double rows = std::min<double>(slice / row_s_.value(), std::max(kCutRows, 2 * last_rows_));
  if (rows >= kCutRows) return {std::min(most, static_cast<int>(rows))};
  if (passes_in_slices_ >= kPassesBetween) return fewest;
  if (part_row_s_.value() == 0) return {fewest.rows, true};
  const double fit = std::clamp<double>(slice / part_row_s_.value(), kCutRows, 2 * kPrefillRows);
  return {std::min(most, static_cast<int>(fit)), true};
}

void Pace::Note(int writing, int rows, double seconds) {
  if (rows == 0) {
    usual_s_.try_emplace(writing, 0.25).first->second.Add(seconds);
    steps_since_usual_ = 0;
    return;
  }
  ++steps_since_usual_;
  passes_in_slices_ = 0;
  last_rows_ = rows;
  if (rows < kCutRows) return;  // their time is lost in the noise of the others'
  const double more = std::max(seconds - Usual(writing), 0.02 * seconds);
  row_s_.Add(more / rows);
}

void Pace::NoteSlices(int rows, double longest_part_s) {
  ++passes_in_slices_;
  part_row_s_.Add(longest_part_s / rows);
}

std::vector<ReadingTurns::Piece> ReadingTurns::Share(const std::vector<ActiveJob*>& readers, int room) {
  std::map<std::string, std::vector<ActiveJob*>> clients;
  for (ActiveJob* job : readers) clients[job->client()].push_back(job);
  std::erase_if(served_, [&](const auto& served) { return !clients.contains(served.first); });
  std::vector<std::string> turns;
  for (const auto& [client, jobs] : clients) turns.push_back(client);
  std::ranges::stable_sort(turns, {}, [&](const std::string& client) { return served_[client]; });
  if (!turns.empty()) served_[turns.front()] = ++steps_;

  std::vector<Piece> pieces;
  const int share = room / static_cast<int>(std::max<size_t>(1, turns.size()));
  for (const std::string& client : turns) {
    int left = std::min(room, std::max(share, kCutRows));
    for (ActiveJob* job : clients[client]) {
      const int rows = job->RowsFor(left);
      if (rows > left && !pieces.empty()) break;
      pieces.push_back({job, rows});
      left -= rows;
      room -= rows;
    }
  }
  for (Piece& piece : pieces) {
    if (room <= 0) break;
    const int rows = piece.job->RowsFor(piece.rows + room);
    if (rows > piece.rows + room) continue;
    room -= rows - piece.rows;
    piece.rows = rows;
  }
  return pieces;
}

}  // namespace linnet
