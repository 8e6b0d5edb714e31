// Conversion: a model file written again, in another format, in other types of numbers.
//
// What type a parameter gets depends on its role (nn/params.h):
//   - matrices get the type asked for. With a block type, head.weight gets q6_k (with q8_0, q8_0), as
//     llama.cpp's own mixes have it: errors there go straight to the output. A row that is no whole number of
//     blocks is given the next finer type that fits: q4_k -> q5_0, q5_k -> q5_1, q6_k -> q8_0; bf16 if none
//     does;
//   - low-rank factors get it too where it is f32, bf16 or f16; with a block type they are bf16, or f16 if
//   the
//     file has that: they are small, and decay and gate hang on them;
//   - vectors are never rounded: 16 bits stay 16 bits, all else is f32.
// Without a type all stay as they are, but for f64, which becomes f32. GGUF has vectors, norms and some
// factors in f32 (formats/gguf_model.h).
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/contents.h"
#include "nn/model.h"
#include "ops/adapters.h"

namespace linnet {

enum class FileFormat { kSafetensors, kGguf, kPth };

/// The format that a file's name asks for: .safetensors, .gguf, .pth. Throws Error for others.
FileFormat FormatOfName(const std::filesystem::path& path);

/// The type of a parameter in the file to be; `type` is the one asked for, if any.
DType ConvertedType(const std::string& name, const Shape& shape, Role role, DType stored,
                    std::optional<DType> type, FileFormat format);

class Conversion {
 public:
  struct Item {
    std::string name;
    Shape shape;  // as published
    Role role;
    DType from, to;
  };

  /// Reads the whole model in `source` and checks it, as LoadModel does. Throws Error if it is none, or one
  /// that `format` has no place for.
  Conversion(const std::filesystem::path& source, FileFormat format, std::optional<DType> type);

  const LoadedModel& model() const { return model_; }
  /// Adds the products of adapters (of `model`) to their weights.
  void Fold(std::shared_ptr<const Adapters> adapters) { adapters_ = std::move(adapters); }
  /// Writes one more tensor, f32, or another value of one that the model has.
  void Put(const std::string& name, const Tensor& values);
  /// What will be written, in the order of the source; tensors that no computation uses are left out.
  const std::vector<Item>& items() const { return items_; }

  /// Writes `target`, atomically, with no more memory than the model and one tensor take. `vocabulary`, the
  /// bytes of each token by id, is for GGUF. Calls on_tensor(i) before item i is converted.
  void Write(const std::filesystem::path& target, const std::vector<std::string>& vocabulary = {},
             const std::function<void(size_t i)>& on_tensor = {}) const;

 private:
  Tensor Converted(size_t i) const;

  std::unique_ptr<Checkpoint> source_;
  LoadedModel model_;
  FileFormat format_;
  std::vector<Item> items_;
  std::vector<Tensor> held_;        // beside items_: those that are not to be read from the source
  std::vector<Tensor> parameters_;  // beside items_: of the model; empty for others
  std::shared_ptr<const Adapters> adapters_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace linnet
