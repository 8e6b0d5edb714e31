// Long samples a chunk of tokens at a time, so that memory does not grow with their length: a recurrent model
// carries all that it knows of the chunks before in its state.
//
// Exact back-propagation goes through the samples twice. First forward without a tape, keeping the state at
// every border between chunks; then from the last chunk to the first, each of which runs again, with a tape.
// The gradient of the state that a chunk leaves is that of the state which the next one began with: it is put
// in before the chunk's backward pass, as if both had been one (as activation checkpointing does along depth:
// Chen et al., arXiv:1604.06174). Truncated back-propagation takes the states for constants: half the forward
// work, and nothing is learnt about what should have been remembered beyond a border.
#pragma once

#include <memory>
#include <vector>

#include "nn/model.h"
#include "train/data.h"

namespace linnet {

/// How a step goes through its samples.
struct Chunking {
  int64_t tokens = 0;      // of each sample at a time; 0: samples as a whole
  bool truncated = false;  // gradients end at the borders of chunks
};

/// A piece of samples.
struct Chunk : Samples {
  std::shared_ptr<const std::vector<int64_t>> rows;  // where its rows lie among those of the samples
};

/// Samples cut along time: part i has tokens [i `tokens`, (i + 1) `tokens`) of every sample that is so long,
/// in the sample's slot.
std::vector<Chunk> CutSamples(const Samples& samples, int64_t tokens);

/// As ForwardBackward (train/step.h), a chunk at a time. If the state's initial values are tracked, their
/// gradients are added to, too. `counted` as there; 0 for the targets of the samples.
double ForwardBackwardInChunks(const LoadedModel& model, const Samples& samples, const State& state,
                               double l2_wrap, const Chunking& chunking, Dim counted = 0, double weight = 1);

/// Mean loss in nats, without gradients; `tokens` may be 0 for samples as a whole.
double LossInChunks(const LoadedModel& model, const Samples& samples, const State& state, int64_t tokens);

}  // namespace linnet
