#include "cli/dtype_option.h"

#include <vector>

namespace linnet {
namespace {

constexpr DType kTypes[] = {DType::kF32,  DType::kBf16, DType::kF16,  DType::kQ8_0,
                            DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                            DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};

}  // namespace

CLI::Option* AddDtypeOption(CLI::App* command, std::string& name, const std::string& help) {
  std::vector<std::string> names = {"stored"};
  for (DType type : kTypes) names.emplace_back(Traits(type).name);
  return command->add_option("--dtype", name, help)->check(CLI::IsMember(names))->capture_default_str();
}

std::optional<DType> TypeAskedFor(const std::string& name) {
  for (DType type : kTypes) {
    if (Traits(type).name == name) return type;
  }
  return std::nullopt;  // "stored"; the option has refused the rest
}

}  // namespace linnet
