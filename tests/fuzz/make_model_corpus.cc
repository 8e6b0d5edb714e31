#include "formats/dialect_builders.h"
#include "fuzz/make_corpus.h"

namespace linnet {
namespace {

void MakeGguf(const std::filesystem::path& folder) {
  Save(folder, "rwkv6", Gguf("rwkv6", ForGguf6(1)).Value("rwkv6.rescale_every_n_layers", 1u).Finish());
  Save(folder, "rwkv7", Gguf("rwkv7", ForGguf7()).Value("rwkv7.wkv.head_size", 2u).Finish());
  const auto small = [] { return GgufWriter().Floats("token_embd.weight", {1, 2}, {1, 2}); };
  Save(folder, "vocabulary",
       small()
           .Value("tokenizer.ggml.model", "rwkv")
           .Value("tokenizer.ggml.tokens", std::vector<std::string>{"<s>", "\\x00", "\\n\\\\a"})
           .Value("tokenizer.ggml.token_type", std::vector<int32_t>{3, 1, 1})
           .Finish());
  GgufWriter singles = small();
  for (uint32_t type = 0; type < 13; ++type) {
    if (type != 8 && type != 9)
      singles.Value("v" + std::to_string(type), type, std::string(type < 10 ? 4 : 8, '\1'));
  }
  Save(folder, "singles", singles.Finish());
  GgufWriter blocks =
      GgufWriter(2).Value("general.architecture", "rwkv6").Value("rwkv6.rescale_every_n_layers", 1u);
  const std::pair<uint32_t, size_t> types[] = {{1, 512},    {2, 8 * 18}, {3, 8 * 20}, {6, 8 * 22},
                                               {7, 8 * 24}, {8, 8 * 34}, {12, 144},   {13, 176},
                                               {14, 210},   {30, 512}};
  for (const auto& [type, bytes] : types) {
    blocks.Tensor("blk." + std::to_string(type) + ".channel_mix_value.weight", {256}, type,
                  std::string(bytes, 'b'));
    blocks.Tensor("blk." + std::to_string(type) + ".time_mix_w1.weight", {256, 1}, type,
                  std::string(bytes, 'c'));
  }
  Save(folder, "blocks", blocks.Finish());
  Save(folder, "name_twice", small().Floats("token_embd.weight", {1}, {1}).Finish());
  Save(folder, "overlap", small().Tensor("w", {1}, 0, "1234", 0).Finish());
  Save(folder, "huge", GgufWriter().Tensor("w", {1u << 31, 1u << 31, 4, 1}, 0, "1234").Finish());
  Save(folder, "huge_counts", "GGUF" + Bytes<uint32_t>(3) + Bytes(UINT64_MAX) + Bytes(UINT64_MAX));
}

void MakeRwkvCpp(const std::filesystem::path& folder) {
  Save(folder, "rwkv4", RwkvCpp(ForRwkvCpp4()));
  Save(folder, "rwkv5", RwkvCpp(ForRwkvCpp5()));
  Save(folder, "rwkv6", RwkvCpp(ForRwkvCpp6()));
  Save(folder, "rwkv7", RwkvCpp(ForRwkvCpp7()));
  const auto small = [](uint32_t version) {
    return RwkvCppWriter(version, 1, 32, 1)
        .Tensor("emb.weight", {32, 1}, 9, std::string(34, 'q'))
        .Tensor("blocks.0.ln1.weight", {32}, 1, std::string(64, 'h'));
  };
  Save(folder, "blocks", small(101).Finish());
  Save(folder, "old_blocks", small(100).Finish());
  Save(folder, "huge", small(101).Tensor("w", {UINT32_MAX, UINT32_MAX, 4}, 0, "1234").Finish());
}

void MakeNames(const std::filesystem::path& folder) {
  Save(folder, "transformers4", Safetensors(ForTransformers(Rwkv4())));
  Save(folder, "transformers6", Safetensors(ForTransformers(Rwkv6())));
  Save(folder, "fla6", Safetensors(ForFla6(Rwkv6())));
  Save(folder, "fla7", Safetensors(ForFla7(Rwkv7())));
  const Array one = {{1}, {1}};
  Save(folder, "wrapped", Safetensors({{"_forward_module.module.a", one}, {"_orig_mod.b", one}}));
  Save(folder, "contradiction", Safetensors({{"module.a", one}, {"a", one}}));
  Save(folder, "left_over", Safetensors({{"rwkv.embeddings.weight", one}, {"b", one}}));
}

void MakeShardIndices(const std::filesystem::path& folder) {
  Save(folder, "sound",
       R"({"metadata":{"total_size":8},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  Save(folder, "escape", R"({"weight_map":{"a":"../1"}})");
  Save(folder, "name_twice", R"({"weight_map":{"a":"1","a":"2"}})");
  Save(folder, "map_twice", R"({"weight_map":{"a":"1"},"weight_map":{"b":"1"}})");
  Save(folder, "no_text", R"({"weight_map":{"a":[{"b":1.5}]}})");
  Save(folder, "deep", R"({"weight_map":)" + std::string(500, '{'));
  Save(folder, "other", R"([1,-2,null,true,"x",{"weight_map":{}}])");
}

}  // namespace

void MakeModels(const std::filesystem::path& corpus) {
  MakeGguf(corpus / "gguf");
  MakeRwkvCpp(corpus / "rwkv_cpp");
  MakeNames(corpus / "names");
  MakeShardIndices(corpus / "shard_index");
}

}  // namespace linnet
