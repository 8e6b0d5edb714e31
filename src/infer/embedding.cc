#include "infer/embedding.h"

#include <cmath>

namespace linnet {
namespace {

double Dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace

void EmbedTexts(const LoadedModel& model, const Tokenizer& tokenizer, Pooling pooling,
                const std::function<bool(std::string& text)>& next,
                const std::function<void(int64_t index, Embedding embedding)>& visit) {
  const auto passage_of = [&](Passage& passage) {
    std::string text;
    if (!next(text)) return false;
    std::vector<int> tokens = tokenizer.Encode(text);
    tokens.insert(tokens.begin(), Tokenizer::kEndOfText);
    const size_t size = tokens.size(), first_of_text = std::min<size_t>(1, size - 1);
    passage = {std::move(tokens), pooling == Pooling::kLast ? size - 1 : first_of_text, size};
    return true;
  };
  std::vector<double> sums;
  PassageReader reader(model);
  reader.Read(passage_of, [&](const Tensor& hidden, std::span<const PassageRow> rows) {
    const auto width = static_cast<size_t>(hidden.dim(1));
    for (size_t i = 0; i < rows.size(); ++i) {
      const Passage& passage = *rows[i].passage;
      if (rows[i].position == passage.begin) sums.assign(width, 0);
      for (size_t c = 0; c < width; ++c) sums[c] += hidden.data()[i * width + c];
      if (rows[i].position + 1 < passage.end) continue;
      const auto count = static_cast<double>(passage.end - passage.begin);
      Embedding embedding{{}, static_cast<int64_t>(passage.tokens.size() - 1)};
      for (double sum : sums) embedding.values.push_back(static_cast<float>(sum / count));
      visit(rows[i].index, std::move(embedding));
    }
  });
}

void Normalize(std::vector<float>& values) {
  const double length = std::sqrt(Dot(values, values));
  if (length == 0) return;
  for (float& x : values) x = static_cast<float>(x / length);
}

double Cosine(std::span<const float> a, std::span<const float> b) {
  Check(a.size() == b.size(), "[cosine] vectors of {} and {} values", a.size(), b.size());
  const double lengths = std::sqrt(Dot(a, a)) * std::sqrt(Dot(b, b));
  return lengths == 0 ? 0 : Dot(a, b) / lengths;
}

}  // namespace linnet
