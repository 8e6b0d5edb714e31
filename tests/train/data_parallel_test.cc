// How the parameters are divided, and that gradients leave while the backward pass runs.
#include "train/data_parallel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "ops/tape.h"
#include "train/step.h"

namespace linnet {
namespace {

TrainableModel TinyModel() {
  const Architecture& architecture = FindArchitecture("rwkv7");
  return NewTrainable(
      architecture,
      architecture.complete_sizes({{"layers", 2}, {"width", 32}, {"head_size", 16}, {"vocab", 256}}), 3,
      MatrixType::kF32);
}

Samples SomeText(int sequences) {
  Samples samples;
  for (int s = 0; s < sequences; ++s) {
    std::vector<int> tokens;
    for (int t = 0; t < 9 + s; ++t) tokens.push_back((7 * t * t + 13 * s + t) % 256);
    samples.batch.Append({tokens.begin(), tokens.end() - 1}, s);
    samples.targets.insert(samples.targets.end(), tokens.begin() + 1, tokens.end());
  }
  return samples;
}

TEST(Buckets, CoverEachValueOnceInEvenShares) {
  const TrainableModel weights = TinyModel();
  for (int processes : {2, 3, 5}) {
    std::vector<Dim> owned(processes);
    std::vector<std::vector<bool>> seen;
    for (const Parameter& p : weights.parameters()) seen.emplace_back(p.tensor.size());
    Dim largest = 0;
    for (const Bucket& bucket : CutIntoBuckets(weights.parameters(), processes)) {
      owned.at(bucket.owner) += bucket.size();
      largest = std::max(largest, bucket.size());
      for (const Piece& piece : bucket.pieces) {
        for (Dim i = piece.begin; i < piece.end; ++i) {
          ASSERT_FALSE(seen[piece.parameter][i]);
          seen[piece.parameter][i] = true;
        }
      }
    }
    for (const auto& parameter : seen) EXPECT_EQ(std::ranges::count(parameter, false), 0);
    EXPECT_LE(std::ranges::max(owned) - std::ranges::min(owned), largest);
  }
}

/// The second of two processes, of which the first has only zeros to say. Keeps what is sent.
class Recorder final : public Communicator {
 public:
  Recorder() : Communicator(1, 2, 1) {}
  std::unique_ptr<Transfer> Send(int, std::span<const std::byte> bytes, int) override {
    sent.emplace_back(bytes.begin(), bytes.end());
    return std::make_unique<Over>();
  }
  std::unique_ptr<Transfer> Receive(int, std::span<std::byte> bytes, int) override {
    std::memset(bytes.data(), 0, bytes.size());
    return std::make_unique<Over>();
  }
  std::vector<std::vector<std::byte>> sent;

 private:
  struct Over final : Transfer {
    bool Done() override { return true; }
    void Wait() override {}
  };
};

TEST(DataParallel, GradientsLeaveDuringTheBackwardPassAsTheyAreAfterIt) {
  for (bool recompute : {false, true}) {
    Samples samples = SomeText(3);
    samples.batch.recompute = recompute;
    std::vector<std::vector<std::vector<std::byte>>> runs;
    for (bool during : {false, true}) {
      TrainableModel weights = TinyModel();
      Recorder others;
      DataParallel parallel(others, weights);
      const State state = weights.model.NewState(3, State::Mode::kKeepInitial);
      ForwardBackward(weights.model, samples, state, 0);  // an earlier batch of the same step
      parallel.Begin();
      std::set<size_t> counts;  // of messages, after the steps of the tape
      {
        const AfterEachStep sending([&] {
          if (during) parallel.SendFinal();
          counts.insert(others.sent.size());
        });
        ForwardBackward(weights.model, samples, state, 0);
      }
      EXPECT_GE(counts.size(), during ? 3u : 1u) << "messages leave one after the other";
      parallel.Finish();
      runs.push_back(others.sent);
    }
    EXPECT_EQ(runs[0], runs[1]) << (recompute ? "recomputed" : "kept");
  }
}

}  // namespace
}  // namespace linnet
