// How fast a model decodes and reads prompts here, beside what the machine could do at most in the same
// minutes.
//
// Machines are shared and noisy: limits and model are measured in turns, and fractions are medians of the
// ratios of neighbours in time.
#pragma once

#include <functional>
#include <string>

#include "nn/model.h"

namespace linnet {

struct BenchmarkOptions {
  int rounds = 5;
  int decode_tokens = 0;  // a round; 0: about half a second's worth
  int prompt_tokens = 512;
  int batch = 32;  // sequences of the batched decode; 0 leaves it out
  size_t bandwidth_bytes = size_t{4} << 30;
  std::function<void(const std::string& what)> on_progress;  // may be empty
};

/// Medians over the rounds.
struct Benchmark {
  struct Speed {
    double tokens_per_s = 0;
    double fraction = 0;  // of the limit that applies
  };
  double read_bytes_per_s = 0, bf16_flops = 0, f32_flops = 0;
  double batch_flops = 0;  // of a product with as many rows as the batch
  double weight_bytes_per_token = 0, state_bytes = 0, flops_per_token = 0;
  Speed decode;   // one sequence, a token at a time: of read bandwidth / bytes of weights read for a token
  Speed prefill;  // a prompt: of the GEMM peak in the type that the products are computed in
  Speed batched;  // all sequences together: of the peak of products with as many rows
  double first_token_s = 0;  // a prompt of one token, after the weights have been read once
};

/// Bytes of weights that a token needs: all but tables, of which it needs a row.
double WeightBytesPerToken(const LoadedModel& model);
/// Floating-point operations of a token: two for each weight that is in no table, and the recurrence's.
double FlopsPerToken(const LoadedModel& model);

Benchmark RunBenchmark(const LoadedModel& model, const BenchmarkOptions& options);

}  // namespace linnet
