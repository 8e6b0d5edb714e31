// Embeddings: a text as one vector, the model's hidden state after the last norm, which is what the head
// reads to predict the next token. Texts are read after the end-of-text token, as in training.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "infer/passages.h"
#include "text/tokenizer.h"

namespace linnet {

enum class Pooling {
  kMean,  // over all tokens of the text (of none: the end-of-text token's)
  kLast,  // after the last token
};

struct Embedding {
  std::vector<float> values;  // C
  int64_t tokens;             // of the text
};

/// Embeds the texts that `next` gives until it returns false, and hands each embedding to `visit`, in order.
void EmbedTexts(const LoadedModel& model, const Tokenizer& tokenizer, Pooling pooling,
                const std::function<bool(std::string& text)>& next,
                const std::function<void(int64_t index, Embedding embedding)>& visit);

/// Scales to length 1; zeros stay.
void Normalize(std::vector<float>& values);
/// The cosine of the angle between two vectors of one length; 0 if one of them is zero.
double Cosine(std::span<const float> a, std::span<const float> b);

}  // namespace linnet
