// Data: text files as bytes, cut into samples.
//
// A token is a byte. The files are mapped, never copied; the last part of each is held out for validation. A
// sample is ctx + 1 consecutive tokens of one file: ctx inputs and, one further, ctx targets. Which samples a
// step sees follows from the seed and the step's number alone, so that the position in the data is a number
// and resuming needs nothing else.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"
#include "nn/batch.h"

namespace linnet {

/// Inputs of one pass through the model, and the token that follows each.
struct Samples {
  Batch batch;
  std::vector<int> targets;
};

class Dataset {
 public:
  /// Maps the files. Throws Error, naming file and remedy, if a file or its held-out part is shorter than ctx
  /// + 1.
  Dataset(const std::vector<std::string>& files, double val_fraction, int64_t ctx);

  /// `count` samples at random places of the training parts; every place is equally likely.
  Samples Draw(Random& random, int64_t count) const;
  /// Samples of the held-out parts, `batch` at a time: all that do not overlap or, where these have more than
  /// `max_tokens` tokens, evenly spread ones. Empty if nothing is held out.
  std::vector<Samples> HeldOut(int64_t max_tokens, int64_t batch) const;
  /// The same of the training parts.
  std::vector<Samples> Spread(int64_t max_tokens, int64_t batch) const;

  struct File {
    std::filesystem::path path;
    int64_t bytes;
    bool operator==(const File&) const = default;
  };
  std::vector<File> files() const;
  int64_t training_bytes() const;
  int64_t held_out_bytes() const;

 private:
  struct Part {
    MappedFile file;
    int64_t training_bytes;  // the rest is held out

    int64_t bytes() const { return static_cast<int64_t>(file.bytes().size()); }
  };
  using Place = std::pair<const Part*, int64_t>;  // where a sample begins
  void Append(const Part& part, int64_t offset, Samples& samples) const;
  std::vector<Samples> Some(const std::vector<Place>& places, int64_t max_tokens, int64_t batch) const;

  int64_t ctx_;
  std::vector<Part> parts_;
  int64_t places_ = 0;  // where a training sample can begin, over all files
};

/// All of some files, as something to measure the loss on: `batch` samples at a time or, where they have
/// more than `max_tokens` tokens, evenly spread ones. Throws Error, naming the file, if one is too short.
std::vector<Samples> EvaluationSamples(const std::vector<std::string>& files, int64_t ctx, int64_t batch,
                                       int64_t max_tokens);

}  // namespace linnet
