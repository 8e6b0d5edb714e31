#include "text/tokenizer.h"

#include "base/check.h"

namespace linnet {
namespace {

struct KnownTokenizer {
  const char* name;
  std::unique_ptr<Tokenizer> (*make)();
};

constexpr KnownTokenizer kTokenizers[] = {
    {"bytes", []() -> std::unique_ptr<Tokenizer> { return std::make_unique<BytesTokenizer>(); }},
};

std::string KnownNames() {
  std::string names;
  for (const KnownTokenizer& known : kTokenizers)
    names += (names.empty() ? "" : ", ") + std::string(known.name);
  return names;
}

std::unique_ptr<Tokenizer> OfName(const std::string& name) {
  for (const KnownTokenizer& known : kTokenizers) {
    if (name == known.name) return known.make();
  }
  return nullptr;
}

std::unique_ptr<Tokenizer> OfSize(int64_t vocab) {
  for (const KnownTokenizer& known : kTokenizers) {
    auto tokenizer = known.make();
    if (tokenizer->vocab() == vocab) return tokenizer;
  }
  return nullptr;
}

}  // namespace

std::vector<int> BytesTokenizer::Encode(std::string_view bytes) const {
  std::vector<int> ids(bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) ids[i] = static_cast<unsigned char>(bytes[i]);
  return ids;
}

std::string BytesTokenizer::Decode(std::span<const int> ids) const {
  std::string bytes;
  bytes.reserve(ids.size());
  for (int id : ids) {
    Check(id >= 0 && id < vocab(), "[bytes] there is no token {}; ids are 0 to 255", id);
    bytes += static_cast<char>(id);
  }
  return bytes;
}

std::unique_ptr<Tokenizer> MakeTokenizer(const std::string& name) {
  auto tokenizer = OfName(name);
  Check(tokenizer != nullptr, "there is no tokenizer '{}'; known are: {}", name, KnownNames());
  return tokenizer;
}

std::unique_ptr<Tokenizer> TokenizerOf(const std::string& model, const std::string& name, int64_t vocab) {
  auto tokenizer = name.empty() ? OfSize(vocab) : OfName(name);
  Check(tokenizer != nullptr || name.empty(),
        "{}: needs the tokenizer '{}', which this version does not have (known are: {}); "
        "`linnet logits` works on token ids instead",
        model, name, KnownNames());
  Check(tokenizer != nullptr,
        "{}: does not name its tokenizer, and none of those known ({}) has its vocabulary of {}; "
        "`linnet logits` works on token ids instead",
        model, KnownNames(), vocab);
  Check(tokenizer->vocab() == vocab, "{}: the model has a vocabulary of {}, its tokenizer '{}' one of {}",
        model, vocab, tokenizer->name(), tokenizer->vocab());
  return tokenizer;
}

}  // namespace linnet
