#include "cli/shipped.h"

#include <cstdlib>
#include <vector>

#include "base/check.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStarter = "models/starter.safetensors";

/// The folders below which the repository's files may lie.
std::vector<fs::path> Roots() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return {};
  const fs::path folder = program.parent_path();
  return {folder, folder / "..", folder / ".." / "..", folder / ".." / ".." / "..",
          folder / ".." / "share" / "linnet"};
}

}  // namespace

fs::path FindShipped(const fs::path& file) {
  std::error_code error;
  const char* models = std::getenv("LINNET_MODELS");
  if (models != nullptr && *models != '\0' && *file.begin() == "models") {
    const fs::path path = fs::path(models) / file.lexically_relative("models");
    if (fs::exists(path, error)) return path;
  }
  for (const fs::path& root : Roots()) {
    const fs::path path = root / file;
    if (fs::exists(path, error)) return path.lexically_normal();
  }
  return {};
}

std::string StarterModel() {
  const fs::path path = FindShipped(kStarter);
  Check(!path.empty(),
        "no model was given, and the one that ships with linnet, {}, is not there; name a model's file, set "
        "LINNET_MODELS to the folder that has it, or make it with recipes/starter/run",
        kStarter);
  return path.string();
}

}  // namespace linnet
