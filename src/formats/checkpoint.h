// Checkpoint: a model file of any format, seen as a list of named tensors and a few strings about them.
//
// Open() sniffs the format from the first bytes, never from the file's name, and gives the tensors of every
// format the names and layouts of BlinkDL's published checkpoints (formats/names.h). Every reader treats its
// file as hostile: offsets, sizes and counts are checked against the file before they are used, and nothing
// in a file is ever run.
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
    /// Load() gives the matrix transposed, [shape[1], shape[0]]: its type's blocks run along the other
    /// extent, and are not decoded here.
    bool transposed = false;

    size_t bytes() const {
      const DTypeTraits& traits = Traits(dtype);
      return static_cast<size_t>(shape.size() / traits.values_per_block * traits.bytes_per_block);
    }
  };

  virtual ~Checkpoint() = default;

  /// Opens `path`, a model file, the index of a model in several files, or a folder that has one of these;
  /// only the directory of a file is read. Throws Error naming the file and what is wrong with it.
  static std::unique_ptr<Checkpoint> Open(const std::filesystem::path& path);
  static std::unique_ptr<Checkpoint> Open(const MappedFile& file);
  /// The same, with names and layouts as they are in the file.
  static std::unique_ptr<Checkpoint> OpenAsStored(const MappedFile& file);

  /// "safetensors", "pth", "gguf", "rwkv.cpp"
  virtual std::string format() const = 0;
  /// The file; of a folder, the file found in it.
  const std::filesystem::path& path() const { return path_; }
  /// The size of the file, or of all files of a model in several.
  uint64_t file_bytes() const { return file_bytes_; }
  const std::vector<Entry>& entries() const { return entries_; }
  /// Null if there is no tensor of that name.
  const Entry* Find(const std::string& name) const;
  /// The tensor in its stored type. Points into the mapped file where that is possible (contiguous, aligned),
  /// and must then not be written to. Throws Error if there is none of that name.
  virtual Tensor Load(const std::string& name) const = 0;
  /// Says that a tensor's bytes in the file will hardly be read again (MappedFile::Forget).
  virtual void Forget(const std::string& /*name*/) const {}
  /// What the file calls the tensor `name`, whether or not it is there: for messages.
  virtual std::string NameInFile(const std::string& name) const { return name; }
  /// Strings beside the tensors (safetensors' __metadata__, the single values of GGUF); empty where the
  /// format has none.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// The bytes of each token, by id, where the file holds its vocabulary (GGUF); else empty. A token that
  /// stands for no text (end of text, padding) has none.
  const std::vector<std::string>& vocabulary() const { return vocabulary_; }

 protected:
  Checkpoint(std::filesystem::path path, uint64_t file_bytes)
      : path_(std::move(path)), file_bytes_(file_bytes) {}
  /// Appends to entries_. Throws Error if the name is taken.
  void Add(Entry entry);
  /// The position in entries_. Throws Error if there is no tensor of that name.
  size_t IndexOf(const std::string& name) const;
  /// The elements at `data` in `file`: where they lie, or a copy if that address does not suit their type. No
  /// more memory than the file takes is then in use, as the copied pages are forgotten.
  static Tensor InPlaceOrCopied(const MappedFile& file, const std::byte* data, const Entry& entry);

  std::filesystem::path path_;
  uint64_t file_bytes_;
  std::vector<Entry> entries_;  // in the order of the file
  std::map<std::string, std::string> metadata_;
  std::vector<std::string> vocabulary_;
  std::map<std::string, size_t> index_;  // name -> position in entries_
};

}  // namespace linnet
