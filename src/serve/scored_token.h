// What a model thought of a token: for `logprobs` of the APIs.
#pragma once

#include <span>

#include "serve/engine.h"

namespace linnet {

/// The score of `token` after a row of logits, with the `top` likeliest. The same number to the bit as that
/// of infer/passages.h. Throws Error if it is not a number.
ScoredToken ScoreToken(std::span<const float> logits, int token, int top);

}  // namespace linnet
