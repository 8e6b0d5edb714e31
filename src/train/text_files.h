// Text files as bytes, cut into samples.
//
// A token is a byte. The files are mapped, never copied; the last part of each is held out for validation. A
// sample is ctx + 1 consecutive tokens of one file: ctx inputs and, one further, ctx targets. Which samples a
// step sees follows from the seed and the step's number alone.
#pragma once

#include "train/data.h"

namespace linnet {

class TextFiles : public Dataset {
 public:
  /// Maps the files. Throws Error, naming file and remedy, if a file or its held-out part is shorter than ctx
  /// + 1.
  TextFiles(const std::vector<std::string>& files, const DataOptions& options);

  /// Samples at random places of the training parts; every place is equally likely.
  std::vector<Samples> Draw(int64_t step, DataPosition& position) const override;
  /// Samples that do not overlap.
  std::vector<Samples> HeldOut(int64_t max_tokens) const override;
  bool equal_sequences() const override { return true; }
  std::vector<File> files() const override;
  int64_t training_tokens() const override;
  int64_t held_out_tokens() const override;

 private:
  struct Part {
    MappedFile file;
    int64_t training_bytes;  // the rest is held out

    int64_t bytes() const { return static_cast<int64_t>(file.bytes().size()); }
  };
  void Append(const Part& part, int64_t offset, Samples& samples) const;

  DataOptions options_;
  std::vector<Part> parts_;
  int64_t places_ = 0;  // where a training sample can begin, over all files
};

}  // namespace linnet
