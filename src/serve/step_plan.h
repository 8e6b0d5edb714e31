// What one step of the engine does: a row for each text that is being written and, as far as there is room,
// pieces of prompts; and how much room there is.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/batch.h"
#include "serve/active_job.h"

namespace linnet {

/// One forward pass: jobs with the same adapters, and what is wanted of their rows.
class Pass {
 public:
  void Append(ActiveJob& job, int rows);
  /// Reads the rows; on any thread.
  void Compute(const LoadedModel& model, const State& state, const Adapters* adapters) noexcept;
  /// Has the jobs advance. A job that fails ends with an error; if the pass itself failed, all of them do:
  /// some of their states are those of before it, some are not.
  void Advance();

 private:
  struct Member {
    ActiveJob* job;
    int rows;
    Dim hidden = 0, logits = 0;  // rows that it gets of each
  };

  Batch batch_;
  std::vector<Member> members_;
  std::vector<int> logits_rows_;  // of the wanted ones
  Tensor hidden_, logits_;
  std::string failure_;  // "": none
};

/// Calls `body`; the job fails with what it throws.
template <class Body>
void Guard(ActiveJob& job, const Body& body) {
  try {
    body();
  } catch (const std::exception& error) {
    job.Fail(error.what());
  }
}

/// A quantile of the last values: unlike a mean it does not mind that some steps were interrupted.
class RecentQuantile {
 public:
  /// `share` of the values are below it.
  explicit RecentQuantile(double share = 0.5) : share_(share) {}
  void Add(double value);
  /// 0 if there is none.
  double value() const { return value_; }

 private:
  static constexpr size_t kKept = 15;
  double share_;
  std::vector<double> kept_;
  size_t oldest_ = 0;
  double value_ = 0;
};

/// How many rows of prompts a step may read beside the texts that it writes: so many that it takes less than
/// twice as long as a step without, which it learns from the steps that were.
///
/// Rows that share a pass with the texts cost least, as weights are read once for all. But in a small model
/// the fewest rows that can be cut off may take far longer than a token. These are read in a pass of their
/// own, between two breaks of which a step fits.
class Pace {
 public:
  struct Room {
    int rows = 0;            // 0: none in this step
    bool in_slices = false;  // in a pass of their own, of which each step does a slice
  };
  /// At most `most` rows.
  Room RoomBeside(int writing, int most);
  /// Seconds of a slice.
  double Slice(int writing) const;
  /// A step that wrote and read so much in one pass took so long.
  void Note(int writing, int rows, double seconds);
  /// Of a pass in slices that read so many rows the longest part took so long.
  void NoteSlices(int rows, double longest_part_s);

 private:
  /// What a step without takes; 0 if that is not known.
  double Usual(int writing) const;

  /// By the number of texts written; what disturbs the machine for a while must not pass for usual.
  std::map<int, RecentQuantile> usual_s_;
  RecentQuantile row_s_;       // of a row more
  RecentQuantile part_row_s_;  // of a row in the longest part of a pass in slices
  int last_rows_ = 0, steps_since_usual_ = 0, passes_in_slices_ = 0;
};

/// Shares room for rows of prompts among clients: one after another is the first to be served, and each gets
/// its share before another gets more. Of a client's prompts the oldest comes first.
class ReadingTurns {
 public:
  struct Piece {
    ActiveJob* job;
    int rows;
  };
  /// `readers` in the order in which they began. At least one gets a piece, if there is any.
  std::vector<Piece> Share(const std::vector<ActiveJob*>& readers, int room);

 private:
  std::map<std::string, uint64_t> served_;  // when each was first served last
  uint64_t steps_ = 0;
};

}  // namespace linnet
