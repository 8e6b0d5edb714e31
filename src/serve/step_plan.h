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
  /// Reads the rows and has the jobs advance. A job that fails ends with an error; if the pass itself fails,
  /// all of them do: some of their states are those of before it, some are not.
  void Run(const LoadedModel& model, const State& state, const Adapters* adapters);

 private:
  struct Member {
    ActiveJob* job;
    int rows;
    Dim hidden = 0, logits = 0;  // rows that it gets of each
  };
  void Advance(const Tensor& hidden, const Tensor& logits) const;

  Batch batch_;
  std::vector<Member> members_;
  std::vector<int> logits_rows_;  // of the wanted ones
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

/// The median of the last values: unlike a mean it does not mind that some step was interrupted.
class RecentMedian {
 public:
  void Add(double value);
  /// 0 if there is none.
  double value() const { return median_; }

 private:
  static constexpr size_t kKept = 15;
  std::vector<double> kept_;
  size_t oldest_ = 0;
  double median_ = 0;
};

/// How many rows of prompts a step may read beside the texts that it writes: so many that it takes about
/// twice as long as a step without, which it learns from the steps that were. Where the fewest rows that can
/// be cut off take longer, it saves up for them over several steps.
class Pace {
 public:
  /// At most `most`. 0: none in this step.
  int Rows(int writing, int most);
  /// A step that wrote and read so much took so long.
  void Note(int writing, int rows, double seconds);

 private:
  /// What a step without takes; 0 if that is not known.
  double Usual(int writing) const;

  std::map<int, RecentMedian> usual_s_;  // by the number of texts written
  RecentMedian row_s_;                   // of a row more
  double saved_rows_ = 0;
  int last_rows_ = 0, steps_since_usual_ = 0;
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
