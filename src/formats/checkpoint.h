// Checkpoint: a model file of any format, seen as a list of named tensors and a few strings about them.
//
// Open() sniffs the format from the first bytes, never from the file's name. Every reader treats its file as
// hostile: offsets, sizes and counts are checked against the file before they are used, and nothing in a file
// is ever run.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "tensor/tensor.h"

namespace linnet {

class Checkpoint {
 public:
  struct Entry {
    std::string name;
    Shape shape;
    DType dtype;
  };

  virtual ~Checkpoint() = default;

  /// Opens `path`; only its directory is read. Throws Error naming the file and what is wrong with it.
  static std::unique_ptr<Checkpoint> Open(const std::filesystem::path& path);
  static std::unique_ptr<Checkpoint> Open(const MappedFile& file);

  /// "safetensors", "pth"
  virtual std::string format() const = 0;
  const std::filesystem::path& path() const { return path_; }
  const std::vector<Entry>& entries() const { return entries_; }
  /// Null if there is no tensor of that name.
  const Entry* Find(const std::string& name) const;
  /// The tensor in its stored type. Points into the mapped file where that is possible (contiguous, aligned),
  /// and must then not be written to. Throws Error if there is none of that name.
  virtual Tensor Load(const std::string& name) const = 0;
  /// Strings beside the tensors (safetensors' __metadata__); empty where the format has none.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// The bytes of each token, by id, where the file holds its vocabulary (GGUF); else empty.
  const std::vector<std::string>& vocabulary() const { return vocabulary_; }

 protected:
  explicit Checkpoint(std::filesystem::path path) : path_(std::move(path)) {}
  /// Appends to entries_. Throws Error if the name is taken.
  void Add(Entry entry);
  /// The position in entries_. Throws Error if there is no tensor of that name.
  size_t IndexOf(const std::string& name) const;

  std::filesystem::path path_;
  std::vector<Entry> entries_;  // in the order of the file
  std::map<std::string, std::string> metadata_;
  std::vector<std::string> vocabulary_;
  std::map<std::string, size_t> index_;  // name -> position in entries_
};

}  // namespace linnet
