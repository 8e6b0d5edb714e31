// Data: what the steps of a run learn from.
//
// Two sources. Plain text files (train/text_files.h): tokens are bytes, samples are drawn at random places. A
// binidx of documents that `linnet data prepare` or RWKV's tools wrote (train/token_files.h): documents are
// packed into batches, or cut like a stream in the order of RWKV-LM.
//
// What a step sees follows from the seed, the step's number and, for packed documents, a DataPosition of
// three numbers that the checkpoint holds: resuming is exact and costs nothing.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "nn/batch.h"

namespace linnet {

/// Inputs of one pass through the model, and the token that follows each; -1 where it is not to be learnt.
struct Samples {
  Batch batch;
  std::vector<int> targets;
};

/// How many targets are to be learnt.
int64_t CountTargets(const Samples& samples);

/// Part `part` of `parts` of a pass, for several processes that share it: whole sequences, dealt out so that
/// parts have about as many tokens each and all of them together are the pass, in order. May be empty.
Samples Share(const Samples& samples, int part, int parts);
/// The row of the pass with which that part begins.
int64_t ShareBegins(const Samples& samples, int part, int parts);

/// Where packed documents go on. Other sources need only the step's number.
struct DataPosition {
  int64_t epoch = 0;     // how often all documents were seen
  int64_t document = 0;  // in the order of the epoch
  int64_t token = 0;     // of the document
  bool operator==(const DataPosition&) const = default;
};

struct DataOptions {
  int64_t ctx = 256, batch = 4, accumulate = 1;
  uint64_t seed = 1;
  double val_fraction = 0;
  std::string pack = "";            // "documents", "stream"; "": documents, of a binidx
  std::string tokenizer = "bytes";  // as messages call it
  int64_t ids = 256;                // that it has
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  /// The passes of a step, `accumulate` of them with at most `batch` * `ctx` tokens each. Moves `position`
  /// to where the next step goes on.
  virtual std::vector<Samples> Draw(int64_t step, DataPosition& position) const = 0;
  /// What is held out, in passes like those of a step: all of it or, where it has more than `max_tokens`,
  /// evenly spread parts. Empty if nothing is held out.
  virtual std::vector<Samples> HeldOut(int64_t max_tokens) const = 0;

  struct File {
    std::filesystem::path path;
    int64_t bytes;
    bool operator==(const File&) const = default;
  };
  /// Whether all sequences of the passes that Draw returns have `ctx` tokens.
  virtual bool equal_sequences() const = 0;
  virtual std::vector<File> files() const = 0;
  virtual int64_t training_tokens() const = 0;
  virtual int64_t held_out_tokens() const = 0;
  /// The template that conversations among the documents were written with; "" where there are none.
  virtual std::string chat_template() const { return ""; }
};

/// Opens what `--data` names: text files, or one binidx. Throws Error, naming file and remedy, if it cannot
/// be read, is too short, or has ids that the tokenizer has not.
std::unique_ptr<Dataset> OpenDataset(const std::vector<std::string>& names, const DataOptions& options);

/// The same as something to measure the loss on: all of it is held out.
std::vector<Samples> EvaluationSamples(const std::vector<std::string>& names, DataOptions options,
                                       int64_t max_tokens);

}  // namespace linnet
