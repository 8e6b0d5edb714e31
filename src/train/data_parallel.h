// Data parallelism with sharded optimizer states (ZeRO stage 1: Rajbhandari et al., "ZeRO: Memory
// optimizations toward training trillion parameter models", 2020).
//
// Every process has all weights and computes on its part of the batch. A bucket of gradients goes to its
// owner as soon as it is final, while the backward pass goes on; the owner adds up what arrives, by rank,
// updates the values that it owns with moments and float32 masters that nobody else keeps, and sends the new
// values to all. What is sent a step and process: (N - 1) / N of 4 bytes of gradient and of the weight's own
// bytes a parameter.
#pragma once

#include <memory>
#include <vector>

#include "formats/contents.h"
#include "train/buckets.h"
#include "train/comm.h"
#include "train/weights.h"

namespace linnet {

class DataParallel {
 public:
  /// Takes the masters out of `weights`: from now on each process has those of its share. All must outlive
  /// it.
  DataParallel(Communicator& others, TrainableModel& weights);
  ~DataParallel();

  Communicator& others() const { return others_; }
  /// What the optimizer of this process works on.
  const std::vector<Trained>& share() const { return share_; }

  // A step, on all processes alike: all backward passes but the last, Begin, the last one, Finish and, unless
  // the step is skipped, an update of the share and SendValues.

  /// Called where no tape holds parameters.
  void Begin();
  /// Sends the gradients that became final, and moves on what travels: to be called after each step of the
  /// last backward pass (AfterEachStep). Without it all is sent by Finish().
  void SendFinal();
  /// Sends the rest and waits for the sums, which become the gradients of the share. A parameter that got no
  /// gradient has none afterwards.
  void Finish();
  /// Sends the new values of the share to all, and receives theirs.
  void SendValues();

  /// Of the last step.
  struct Traffic {
    double sent_bytes = 0;
    double waited_seconds = 0;  // in Finish()
    double values_seconds = 0;  // in SendValues()
  };
  const Traffic& traffic() const { return traffic_; }

  /// Tensors that lie in shares, as wholes for a file that rank 0 writes. `columns` are this process's shares
  /// of several tensors a parameter; the file is to have those whose {beginning of the name, index} are
  /// listed, of each trained parameter. Rank 0 loads them one by one, while the others are in Serve() with
  /// the same columns, until it calls EndServing().
  using Columns = std::vector<std::vector<Tensor>>;
  Contents Whole(const std::vector<std::pair<std::string, size_t>>& listed, const Columns& columns,
                 const std::map<std::string, std::string>& metadata) const;
  void Serve(const Columns& columns) const;
  void EndServing() const;

 private:
  struct Journey;
  bool Taken(size_t parameter);
  void Launch(size_t bucket);
  bool Advance(Journey& journey, bool wait);
  void Settle();
  Tensor Gather(size_t parameter, const std::vector<Tensor>& mine) const;

  Communicator& others_;
  std::vector<Parameter> parameters_;
  std::vector<Bucket> buckets_;
  std::vector<Trained> share_;
  std::vector<size_t> first_;  // of each own bucket's pieces in share_; for others' the number so far

  // Of a step.
  std::vector<long> holders_;      // of each parameter, when no tape holds it
  std::vector<bool> taken_;        // parameters whose gradient was taken out of them
  std::vector<bool> sent_;         // parameters of which a bucket was launched, be it without a gradient
  std::vector<bool> never_;        // parameters that got no gradient in the last step, and so never do
  std::vector<Tensor> earlier_;    // gradients of the backward passes before Begin
  std::vector<Tensor> gradients_;  // those taken
  std::vector<Journey> journeys_;  // of the buckets that were launched
  size_t settled_ = 0;             // journeys before this one are over
  Traffic traffic_;
};

}  // namespace linnet
