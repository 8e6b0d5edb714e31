#include "train/chunks.h"

#include <algorithm>
#include <cmath>

#include "ops/ops.h"
#include "train/step.h"
#include "train/tuned_states.h"

namespace linnet {
namespace {

/// Calls visit(the variable as this chunk leaves it, the same one as the next chunk begins with).
template <class Visit>
void ForBorder(const State& chunk, const State& next, const Visit& visit) {
  for (int var = 0; var < static_cast<int>(chunk.specs().size()); ++var) {
    visit(chunk.at(var).out, next.at(var).in);
  }
}

/// The states of all chunks: each begins with what the one before leaves, which this computes. The last
/// chunk's forward pass is left to its backward pass.
std::vector<State> StatesOfChunks(const LoadedModel& model, const std::vector<Chunk>& chunks,
                                  const State& first) {
  std::vector<State> states{first};
  Tape training;  // so that products are summed as in the passes that are recorded
  TapePause pause;
  for (size_t i = 0; i + 1 < chunks.size(); ++i) {
    const ops::DropoutRows rows(chunks[i].rows);
    const StatesGoOn goes_on(i > 0);
    model.model->Hidden(chunks[i].batch, states[i]);
    states.push_back(states[i].Following());
  }
  return states;
}

double Exact(const LoadedModel& model, const std::vector<Chunk>& chunks, const State& first, double l2_wrap,
             Dim counted, double weight) {
  std::vector<State> states = StatesOfChunks(model, chunks, first);
  double loss = 0;
  for (size_t i = chunks.size(); i-- > 0 && std::isfinite(loss);) {
    if (i > 0) {
      ForBorder(states[i - 1], states[i], [](const Tensor&, const Tensor& begun) { begun.Track(); });
    }
    const ops::DropoutRows rows(chunks[i].rows);
    const StatesGoOn goes_on(i > 0);
    loss += ForwardBackward(model, chunks[i], states[i], l2_wrap, counted, weight);
    for (int var = 0; var < static_cast<int>(first.specs().size()); ++var) states[i].at(var).out.ClearGrad();
    if (i == 0) break;
    ForBorder(states[i - 1], states[i],
              [](const Tensor& left, const Tensor& begun) { left.Track()->value = begun.grad(); });
    states.pop_back();
  }
  return loss;
}

double Truncated(const LoadedModel& model, const std::vector<Chunk>& chunks, const State& first,
                 double l2_wrap, Dim counted, double weight) {
  double loss = 0;
  State state = first;
  for (const Chunk& chunk : chunks) {
    const ops::DropoutRows rows(chunk.rows);
    const StatesGoOn goes_on(&chunk != &chunks[0]);
    loss += ForwardBackward(model, chunk, state, l2_wrap, counted, weight);
    if (!std::isfinite(loss)) break;
    state = state.Following();
  }
  return loss;
}

}  // namespace

std::vector<Chunk> CutSamples(const Samples& samples, int64_t tokens) {
  const Batch& whole = samples.batch;
  Check(tokens > 0, "[chunks] a chunk needs at least one token");
  Check(whole.wanted.empty(), "[chunks] all rows of the samples must be wanted");
  int64_t longest = 0;
  for (int s = 0; s < whole.sequences(); ++s) longest = std::max<int64_t>(longest, whole.length(s));
  std::vector<Chunk> parts;
  for (int64_t begin = 0; begin < longest; begin += tokens) {
    Chunk& part = parts.emplace_back();
    part.batch.recompute = whole.recompute;
    part.batch.goes_on = true;
    std::vector<int64_t> rows;
    for (int s = 0; s < whole.sequences(); ++s) {
      const int64_t from = whole.start[s] + begin, to = std::min<int64_t>(from + tokens, whole.start[s + 1]);
      if (from >= to) continue;
      part.batch.Append({whole.tokens.begin() + from, whole.tokens.begin() + to}, whole.slot[s]);
      part.targets.insert(part.targets.end(), samples.targets.begin() + from, samples.targets.begin() + to);
      for (int64_t row = from; row < to; ++row) rows.push_back(row);
    }
    part.rows = std::make_shared<const std::vector<int64_t>>(std::move(rows));
  }
  return parts;
}

double ForwardBackwardInChunks(const LoadedModel& model, const Samples& samples, const State& state,
                               double l2_wrap, const Chunking& chunking, Dim counted, double weight) {
  const auto pass = chunking.truncated ? Truncated : Exact;
  return pass(model, CutSamples(samples, chunking.tokens), state, l2_wrap,
              counted > 0 ? counted : CountTargets(samples), weight);
}

double LossInChunks(const LoadedModel& model, const Samples& samples, const State& first, int64_t tokens) {
  const int64_t all = static_cast<int64_t>(samples.batch.tokens.size());
  double loss = 0;
  State state = first;
  const std::vector<Chunk> chunks = CutSamples(samples, tokens > 0 ? tokens : all);
  for (const Chunk& chunk : chunks) {
    const StatesGoOn goes_on(&chunk != &chunks[0]);
    loss += ops::CrossEntropy(model.model->Hidden(chunk.batch, state), model.model->head(), chunk.targets,
                              {.counted = CountTargets(samples), .bias = model.model->head_bias()})
                .data()[0];
    state = state.Following();
  }
  return loss;
}

}  // namespace linnet
