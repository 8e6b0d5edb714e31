// Runs the real program, as a shell would, and tiny models for it to work on.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/safetensors.h"
#include "nn/model.h"

namespace linnet {

/// A folder of this test's own, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = testing::TempDir() + "linnet.XXXXXX";
    Check(mkdtemp(pattern.data()) != nullptr, "no temporary folder {}", pattern);
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

struct Outcome {
  int code;
  std::string out, err;
};

inline std::string Quoted(const std::string& word) {
  std::string quoted = "'";
  for (char c : word) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  quoted += '\'';
  return quoted;
}

/// Runs `linnet` with these arguments and this standard input, and waits for it.
inline Outcome RunLinnet(const std::vector<std::string>& arguments, const std::string& input = "") {
  const TemporaryFolder folder;
  WriteFile(folder / "in", input);
  std::string command = Quoted(LINNET_PROGRAM);
  for (const std::string& argument : arguments) command.append(" ").append(Quoted(argument));
  command +=
      fmt::format(" <{} >{} 2>{}", Quoted(folder / "in"), Quoted(folder / "out"), Quoted(folder / "err"));
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(folder / "out"), ReadFile(folder / "err")};
}

/// Writes a fresh model, an RWKV-7 unless said otherwise, of two layers and returns its path. Its output
/// matrices are not zero, as those of a model that has learnt nothing would be, so that logits depend on the
/// text.
inline std::filesystem::path WriteTinyModel(const std::filesystem::path& path, Dim vocab = 256,
                                            const std::map<std::string, std::string>& metadata = {},
                                            const std::string& arch = "rwkv7") {
  const Architecture& architecture = FindArchitecture(arch);
  const Sizes sizes =
      architecture.complete_sizes({{"layers", 2}, {"width", 32}, {"head_size", 16}, {"vocab", vocab}});
  const LoadedModel model = NewModel(architecture, sizes, /*seed=*/7);
  Random random(8);
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : model.params->parameters()) {
    if (parameter.role == Role::kMatrix) {
      for (Dim i = 0; i < parameter.tensor.size(); ++i) {
        parameter.tensor.data()[i] = static_cast<float>(0.3 * random.Normal());
      }
    }
    tensors.push_back({parameter.name, parameter.tensor});
  }
  WriteSafetensors(path, tensors, metadata);
  return path;
}

/// EXPECT_TRUE(FailsWith({"info", "x"}, {"x", "missing"})): the program must fail, print nothing on standard
/// output, and say why in one line on standard error that has all of these parts.
inline testing::AssertionResult FailsWith(const std::vector<std::string>& arguments,
                                          const std::vector<std::string>& parts,
                                          const std::string& input = "") {
  const Outcome outcome = RunLinnet(arguments, input);
  const auto failure = [&](const std::string& what) {
    return testing::AssertionFailure()
           << what << "; exit code " << outcome.code << ", stderr: " << outcome.err;
  };
  if (outcome.code <= 0) return failure("did not fail as it should");
  if (!outcome.out.empty()) return failure("printed " + outcome.out);
  const bool one_line = outcome.err.find('\n') == outcome.err.size() - 1;
  if (!outcome.err.starts_with("linnet: ") || !one_line) return failure("not one line of the program's");
  for (const std::string& part : parts) {
    if (outcome.err.find(part) == std::string::npos) return failure("does not say '" + part + "'");
  }
  return testing::AssertionSuccess();
}

}  // namespace linnet
