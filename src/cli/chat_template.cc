#include "cli/chat_template.h"

#include <filesystem>

namespace linnet {

const ChatTemplate& ChatTemplateFor(const std::string& wanted, const LoadedModel& model,
                                    const Tokenizer& tokenizer, const std::string& path) {
  if (!wanted.empty()) return FindChatTemplate(wanted);
  const auto declared = model.metadata.find("chat_template");
  return ChatTemplateOf({.architecture = model.architecture->name,
                         .tokenizer = tokenizer.name(),
                         .vocab = model.vocab(),
                         .file_name = std::filesystem::path(path).filename().string(),
                         .declared = declared == model.metadata.end() ? "" : declared->second});
}

}  // namespace linnet
