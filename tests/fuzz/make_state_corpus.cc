// Writes the seeds of the fuzzer of stored states: sound ones, and ones broken in one place each.
//   make_state_corpus FOLDER
#include <cstdio>
#include <filesystem>

#include "base/file.h"
#include "serve/snapshot_bytes.h"
#include "serve/stored_states.h"

int main(int argc, char** argv) {
  using namespace linnet;
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_state_corpus FOLDER\n");
    return 1;
  }
  const std::filesystem::path folder = std::filesystem::path(argv[1]) / "snapshot";
  std::filesystem::create_directories(folder);
  const std::string sound = PackSnapshot({{Filled({2, 3}, 1), Tensor()}, Filled({4}, 2), 5}, kModel);
  WriteFile(folder / "sound", sound);
  WriteFile(folder / "empty", PackSnapshot({}, kModel));
  WriteFile(folder / "cut", sound.substr(0, sound.size() - 7));
  WriteFile(folder / "other_model", PackSnapshot({}, "fedcba9876543210"));
  const auto with = [&](const char* name, size_t at, int64_t number) {
    std::string bytes = sound;
    std::memcpy(bytes.data() + at, &number, sizeof number);
    WriteFile(folder / name, bytes);
  };
  with("many_variables", 12, 0x7fffffff);
  with("negative_tokens", 32, -1);
  with("rank_5", 56, 5);
  with("huge_extent", 64, int64_t{1} << 62);
  with("product_overflows", 72, (int64_t{1} << 32) + 1);
  with("no_extent", 64, 0);
  return 0;
}
