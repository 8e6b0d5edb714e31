#include "formats/sharded.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxIndexBytes = 64 << 20;
constexpr int kMapDepth = 2;  // {"weight_map": {"TENSOR": here

/// Receives the parser's events, and keeps the weight_map. A tree would keep the last of two equal names and
/// say nothing.
class IndexReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit IndexReader(std::string where) : where_(std::move(where)) {}

  std::map<std::string, std::string> files;  // by tensor
  bool has_map = false;

  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override { return Other(); }
  bool number_unsigned(number_unsigned_t) override { return Other(); }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool binary(binary_t&) override { return Other(); }

  bool string(string_t& text) override {
    if (!in_map_) return Other();
    CheckFileName(text);
    Check(files.emplace(key_, text).second, "{}: names the tensor {} twice", where_, key_);
    return true;
  }

  bool start_object(size_t) override {
    if (in_map_) Other();
    ++depth_;
    in_map_ = depth_ == kMapDepth && key_ == "weight_map";
    Check(!in_map_ || !has_map, "{}: has two weight_maps", where_);
    has_map = has_map || in_map_;
    return true;
  }

  bool end_object() override {
    in_map_ = false;
    --depth_;
    return true;
  }

  bool start_array(size_t) override {
    ++depth_;
    return Other();
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool key(string_t& text) override {
    if (in_map_ || depth_ == 1) key_ = text;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    Fail("{}: is not valid JSON at its byte {}", where_, position);
  }

 private:
  /// Values elsewhere mean nothing here.
  bool Other() const {
    Check(!in_map_, "{}: the file of the tensor {} is not given as text", where_, key_);
    return true;
  }

  /// An index may not reach out of its folder.
  void CheckFileName(const std::string& name) const {
    const bool plain = !name.empty() && name != "." && name != ".." &&
                       name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
    Check(plain, "{}: the tensor {} should lie in '{}', which is not the name of a file in the same folder",
          where_, key_, name);
  }

  std::string where_, key_;
  int depth_ = 0;
  bool in_map_ = false;
};

class ShardedCheckpoint final : public Checkpoint {
 public:
  ShardedCheckpoint(const MappedFile& index, std::unique_ptr<Checkpoint> (*open)(const MappedFile& file))
      : Checkpoint(index.path(), index.bytes().size()) {
    const std::map<std::string, std::string> files = ReadShardIndex(index);
    std::map<std::string, size_t> opened;  // position in shards_, by file
    for (const auto& [tensor, file] : files) {
      if (!opened.emplace(file, shards_.size()).second) continue;
      shards_.push_back(open(MappedFile(index.path().parent_path() / file)));
      AddShard(*shards_.back(), file, files);
    }
    for (const auto& [tensor, file] : files) {
      Check(Find(tensor) != nullptr, "{}: the tensor {} should lie in {}, which has none of that name",
            path_.string(), tensor, file);
    }
  }

  std::string format() const override { return shards_.front()->format(); }
  Tensor Load(const std::string& name) const override { return shards_[homes_[IndexOf(name)]]->Load(name); }
  void Forget(const std::string& name) const override { shards_[homes_[IndexOf(name)]]->Forget(name); }

 private:
  void AddShard(const Checkpoint& shard, const std::string& file,
                const std::map<std::string, std::string>& files) {
    for (const Entry& entry : shard.entries()) {
      const auto home = files.find(entry.name);
      Check(home != files.end(), "{}: the tensor {} is not in the index {}", shard.path().string(),
            entry.name, path_.string());
      Check(home->second == file, "{}: the tensor {} should lie in {}, as {} says", shard.path().string(),
            entry.name, home->second, path_.string());
      homes_.push_back(shards_.size() - 1);
      Add(entry);
    }
    file_bytes_ += shard.file_bytes();
    for (const auto& [key, value] : shard.metadata()) metadata_.emplace(key, value);
  }

  std::vector<std::unique_ptr<Checkpoint>> shards_;
  std::vector<size_t> homes_;  // beside entries_: which shard has it
};

}  // namespace

fs::path ModelIn(const fs::path& path) {
  std::error_code error;  // what is wrong with a file, opening it will say
  if (!fs::is_directory(path, error)) return path;
  for (const char* name : {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                           "pytorch_model.bin.index.json"}) {
    if (fs::exists(path / name, error)) return path / name;
  }
  Fail("{}: is a folder without a model.safetensors, pytorch_model.bin, or an index of these; name the file",
       path.string());
}

bool IsShardIndex(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && first < 64 && text[first] == '{';
}

std::map<std::string, std::string> ReadShardIndex(const MappedFile& index) {
  const std::string where = index.path().string();
  Check(index.bytes().size() <= kMaxIndexBytes, "{}: is too long for the index of a model's files", where);
  const std::string_view text(reinterpret_cast<const char*>(index.bytes().data()), index.bytes().size());
  IndexReader reader(where);
  nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  Check(reader.has_map, "{}: is JSON, but not the index of a model's files: it has no weight_map", where);
  Check(!reader.files.empty(), "{}: its weight_map is empty", where);
  return std::move(reader.files);
}

std::unique_ptr<Checkpoint> OpenSharded(const MappedFile& index,
                                        std::unique_ptr<Checkpoint> (*open)(const MappedFile& file)) {
  return std::make_unique<ShardedCheckpoint>(index, open);
}

}  // namespace linnet
