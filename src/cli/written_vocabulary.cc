#include "cli/written_vocabulary.h"

#include "cli/model_options.h"
#include "text/world.h"

namespace linnet {

bool IsOfBytes(const LoadedModel& model) {
  const auto named = model.metadata.find("tokenizer");
  return named != model.metadata.end() && named->second == BytesTokenizer().name();
}

std::vector<std::string> VocabularyToWrite(const LoadedModel& model, const std::string& source,
                                           const std::string& named) {
  if (named.empty() && !model.vocabulary.empty() && !IsOfBytes(model)) return model.vocabulary;
  const auto tokenizer = OpenTokenizer(model, source, named);
  const bool takes_the_longest = dynamic_cast<const WorldTokenizer*>(tokenizer.get()) != nullptr ||
                                 dynamic_cast<const BytesTokenizer*>(tokenizer.get()) != nullptr;
  Check(takes_the_longest,
        "{}: llama.cpp's tokenizer of RWKV takes the longest token each time, and {} does not: texts would "
        "be cut otherwise than in training; write a .safetensors",
        source, tokenizer->name());
  std::vector<std::string> vocabulary;
  for (int id = 0; id < tokenizer->vocab(); ++id) vocabulary.push_back(tokenizer->Decode({&id, 1}));
  return vocabulary;
}

}  // namespace linnet
