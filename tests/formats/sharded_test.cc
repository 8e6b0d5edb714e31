#include "formats/sharded.h"

#include <unistd.h>

#include "formats/published_models.h"
#include "formats/refusal.h"
#include "formats/values.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

class Sharded : public testing::Test {
 protected:
  Sharded() { fs::create_directories(folder_); }
  ~Sharded() override { fs::remove_all(folder_.parent_path()); }

  void Write(const std::string& name, const std::string& text) const { WriteFile(folder_ / name, text); }
  void Index(const std::string& map) const {
    Write("model.safetensors.index.json",
          R"({"metadata":{"total_size":8,"x":[{"weight_map":{}}]},"weight_map":)" + map + "}");
  }
  std::unique_ptr<Checkpoint> Open() const {
    return Checkpoint::Open(folder_ / "model.safetensors.index.json");
  }
  auto Opening() const {
    return [this] { Open(); };
  }

  // A folder of its own, as tests run side by side.
  const fs::path folder_ = fs::path(testing::TempDir()) / ("linnet-" + std::to_string(getpid())) / "sharded";
  const std::string a_ = Safetensors({{"a", {{2}, {1, 2}}}}),
                    b_ = Safetensors({{"b", {{1}, {3}}}, {"c", {{1}, {4}}}});
};

TEST_F(Sharded, OneModelOfSeveralFiles) {
  Write("1.safetensors", a_);
  Write("2.safetensors", b_);
  Index(R"({"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"})");
  for (const fs::path& path : {folder_, folder_ / "model.safetensors.index.json"}) {
    const auto checkpoint = Checkpoint::Open(path);
    EXPECT_EQ(checkpoint->format(), "safetensors");
    EXPECT_EQ(NamesOf(*checkpoint), (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(ValuesOf(*checkpoint, "a"), (std::vector<float>{1, 2}));
    EXPECT_EQ(ValuesOf(*checkpoint, "c"), (std::vector<float>{4}));
    EXPECT_EQ(checkpoint->path(), folder_ / "model.safetensors.index.json");
    EXPECT_GT(checkpoint->file_bytes(), a_.size() + b_.size());
  }
}

TEST_F(Sharded, NamesAreTranslatedAcrossFiles) {
  Write("1", Safetensors({{"rwkv.embeddings.weight", {{1, 1}, {1}}}}));
  Write("2", Safetensors({{"rwkv.blocks.0.pre_ln.weight", {{1}, {2}}}}));
  Index(R"({"rwkv.embeddings.weight":"1","rwkv.blocks.0.pre_ln.weight":"2"})");
  EXPECT_EQ(ValuesOf(*Open(), "blocks.0.ln0.weight"), (std::vector<float>{2}));
}

TEST_F(Sharded, AFolderWithOneFile) {
  Write("model.safetensors", a_);
  EXPECT_EQ(ValuesOf(*Checkpoint::Open(folder_), "a"), (std::vector<float>{1, 2}));
  fs::remove(folder_ / "model.safetensors");
  Write("pytorch_model.bin",
        Pth(pkl::Dict({{"w", pkl::Tensor(pkl::Storage("FloatStorage", "0", 1), 0, {1}, {1})}}),
            {{"0", Values<float>({5})}}));
  EXPECT_EQ(Checkpoint::Open(folder_)->format(), "pth");
}

TEST_F(Sharded, RefusesFilesThatAreNotWhatTheIndexSays) {
  Write("1", a_);
  Write("2", b_);
  Index(R"({"a":"1","b":"3"})");
  EXPECT_TRUE(Refuses(Opening(), "sharded/3: cannot be opened"));
  Index(R"({"a":"1","b":"2"})");
  EXPECT_TRUE(Refuses(Opening(), "sharded/2: the tensor c is not in the index"));
  Index(R"({"a":"1","b":"2","c":"1"})");
  EXPECT_TRUE(Refuses(Opening(), "2: the tensor c should lie in 1, as"));
  Index(R"({"a":"1","b":"2","c":"2","d":"2"})");
  EXPECT_TRUE(Refuses(Opening(), "index.json: the tensor d should lie in 2, which has none of that name"));
  Write("2", "{\"weight_map\":{\"b\":\"2\"}}");  // an index is no file of a model
  Index(R"({"a":"1","b":"2"})");
  EXPECT_TRUE(Refuses(Opening(), "2: is not a model file that linnet knows"));
}

TEST_F(Sharded, RefusesToLeaveItsFolder) {
  for (const char* name : {"../1", "/etc/passwd", "x/1", "..", ".", "", "x\\\\1", "a\\u0000b"}) {
    Index(R"({"a":")" + std::string(name) + "\"}");
    EXPECT_TRUE(Refuses(Opening(), "index.json: the tensor a should lie in '")) << name;
  }
}

TEST_F(Sharded, RefusesBrokenIndices) {
  Index(R"({"a":"1","a":"2"})");
  EXPECT_TRUE(Refuses(Opening(), "index.json: names the tensor a twice"));
  Index(R"({"a":"1"},"weight_map":{"b":"1"})");
  EXPECT_TRUE(Refuses(Opening(), "has two weight_maps"));
  for (const char* value : {"1", "null", "true", "-1", "1.5", "[]", "{}"}) {
    Index(R"({"a":)" + std::string(value) + "}");
    EXPECT_TRUE(Refuses(Opening(), "the file of the tensor a is not given as text")) << value;
  }
  Index("{}");
  EXPECT_TRUE(Refuses(Opening(), "its weight_map is empty"));
  Index("[]");
  EXPECT_TRUE(Refuses(Opening(), "it has no weight_map"));
  Index("{");
  EXPECT_TRUE(Refuses(Opening(), "is not valid JSON at its byte"));
  Write("model.safetensors.index.json", R"({"x":{"weight_map":{"a":"1"}}})");
  EXPECT_TRUE(Refuses(Opening(), "it has no weight_map"));
}

}  // namespace
}  // namespace linnet
