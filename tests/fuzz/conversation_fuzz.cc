#include <cstdint>

#include "fuzz/conversation_entries.h"
#include "infer/tiny_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const linnet::LoadedModel model = linnet::TinyModel();
  static const linnet::BytesTokenizer tokenizer;
  linnet::FuzzConversation(model, tokenizer, std::as_bytes(std::span(data, size)));
  return 0;
}
