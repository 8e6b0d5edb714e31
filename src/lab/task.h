// Tasks: what architectures are compared on. A task draws sequences of tokens and says which tokens are to be
// predicted; all others are masked. It is a pure function of a seed and a place, so that runs resume without
// any state of the data, and each architecture sees the same examples in the same order.
//
// There are three parts, of which no example comes from another's random numbers: training, an unlimited
// stream for each seed unless the task's source is finite; validation, by which settings are chosen; test, by
// which results are told. The last two are the same for all seeds.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"

namespace linnet::lab {

/// A sequence and, for each of its tokens, the token that is to be predicted there; -1 for none.
struct Example {
  std::vector<int> tokens, targets;

  /// Appends a token, and what is to be predicted when it has been read.
  void Append(int token, int target = -1) {
    tokens.push_back(token);
    targets.push_back(target);
  }
  /// Appends `token`, with nothing to be predicted, until there are `length`.
  void PadTo(int64_t length, int token) {
    while (static_cast<int64_t>(tokens.size()) < length) Append(token);
  }
};

enum class Part { kTraining, kValidation, kTest };

/// The number that says how well a task is done.
enum class Quality {
  kAccuracy,          // share of the answers that are right: the likeliest token is the target
  kSequenceAccuracy,  // share of the sequences all of whose answers are right
  kSquaredError,      // mean square of the distance between the expected value of the answer and the answer
  kBitsPerByte,       // mean of -log2 p(target)
};

/// "accuracy", "sequence accuracy", "squared error", "bits per byte"
const char* NameOf(Quality quality);
/// Whether more of it is better.
bool HigherIsBetter(Quality quality);

class Task {
 public:
  virtual ~Task() = default;

  /// Tokens and targets lie in [0, vocab).
  virtual int64_t vocab() const = 0;
  /// Tokens of every sequence.
  virtual int64_t length() const = 0;
  virtual Quality quality() const { return Quality::kAccuracy; }
  /// Example number `index` of a part. `seed` chooses the stream of training and means nothing to the others.
  virtual Example Draw(Part part, uint64_t seed, int64_t index) const = 0;
  /// How many examples validation and test have.
  virtual int64_t held_out() const = 0;
  /// Whether the target counts as an answer: in its accuracy, that is; in the loss each of them counts.
  virtual bool IsAnswer(int target) const { return target >= 0; }
  /// The number that a target stands for; only for Quality::kSquaredError.
  virtual double ValueOf(int target) const { return target; }
  /// A token as people read it.
  virtual std::string Show(int token) const { return std::to_string(token); }
};

/// Tasks that are made of random numbers.
class GeneratedTask : public Task {
 public:
  static constexpr int64_t kHeldOut = 2000;

  Example Draw(Part part, uint64_t seed, int64_t index) const override;
  int64_t held_out() const override { return kHeldOut; }

 protected:
  virtual Example Make(Random& random) const = 0;
};

/// A number that a kind of task can be told.
struct TaskSetting {
  std::string name;
  int64_t value, least, most;  // value: the default
  std::string help;
};

/// What a task is made with: all settings of its kind in their order, and the files that the user named.
struct TaskArguments {
  std::vector<TaskSetting> settings;
  std::vector<std::string> files;

  /// Throws std::out_of_range for a name that the kind does not have, which is a mistake of the program.
  int64_t at(const std::string& name) const;
};

struct TaskKind {
  std::string name, what;  // "mqar", and a line about it
  std::vector<TaskSetting> settings;
  int64_t batch;     // sequences a step, unless the user says otherwise
  std::string data;  // what --data has to name; "" for nothing
  std::unique_ptr<Task> (*make)(const TaskArguments& arguments);
};

/// All of them.
std::span<const TaskKind> TaskKinds();

/// A task, its kind, and its name with all settings, "mqar:length=64:pairs=8:vocab=128".
struct NamedTask {
  const TaskKind* kind;
  std::string name;
  std::unique_ptr<Task> task;
};

/// Makes the task that "mqar" or "mqar:length=128:pairs=32" names. Throws Error, listing the known ones, for
/// a name or setting that there is not, and if a setting is out of its range or files are missing or of no
/// use.
NamedTask MakeTask(const std::string& name, const std::vector<std::string>& files);

}  // namespace linnet::lab
