// Every dialect, against the published tensors that it was made from.
#include "formats/names.h"

#include "formats/dialect_builders.h"
#include "formats/refusal.h"
#include "formats/values.h"

namespace linnet {
namespace {

std::unique_ptr<Checkpoint> Open(const std::string& text) { return Checkpoint::Open(InMemory(text)); }
auto Opening(const std::string& text) {
  return [=] { Open(text); };
}

Shape WithoutUnits(const Shape& shape) {
  Shape result;
  for (Dim dim : shape) {
    if (dim != 1) result.Append(dim);
  }
  return result;
}

void ExpectPublished(const Checkpoint& checkpoint, const Arrays& published, float tolerance = 0) {
  EXPECT_EQ(checkpoint.entries().size(), published.size());
  for (const auto& [name, array] : published) {
    ASSERT_NE(checkpoint.Find(name), nullptr) << name;
    EXPECT_EQ(WithoutUnits(checkpoint.Find(name)->shape), WithoutUnits(array.shape)) << name;
    const Tensor tensor = checkpoint.Load(name);
    EXPECT_EQ(tensor.shape(), checkpoint.Find(name)->shape) << name;
    const std::vector<float> values = ValuesOf(tensor);
    ASSERT_EQ(values.size(), array.values.size()) << name;
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], array.values[i], tolerance) << name << " element " << i;
    }
  }
}

TEST(Names, PublishedNamesStayAsTheyAre) {
  for (const Arrays& arrays : {Rwkv4(), Rwkv5(), Rwkv6(), Rwkv7()}) {
    const auto checkpoint = Open(Safetensors(arrays));
    ExpectPublished(*checkpoint, arrays);
    EXPECT_EQ(checkpoint->NameInFile("emb.weight"), "emb.weight");
  }
}

TEST(Names, OfTransformers) {
  for (const Arrays& arrays : {Rwkv4(), Rwkv5(), Rwkv6()}) {
    ExpectPublished(*Open(Safetensors(ForTransformers(arrays))), arrays);
  }
}

TEST(Names, OfFlashLinearAttention) {
  ExpectPublished(*Open(Safetensors(ForFla6(Rwkv6()))), Rwkv6());
  Arrays fla = ForFla7(Rwkv7());
  ExpectPublished(*Open(Safetensors(fla)), Rwkv7());
  fla["model.layers.0.attn.v_lora.lora.2.bias"] = {{kWidth}, std::vector<float>(kWidth)};  // read by nothing
  ExpectPublished(*Open(Safetensors(fla)), Rwkv7());
  std::erase_if(fla, [](const auto& item) { return item.first.find("attn.x_") != std::string::npos; });
  const Arrays old =
      Fused(fla, Rwkv7(), "att.x_", {"r", "w", "k", "v", "a", "g"}, "model.layers", "attn.x_x");
  ExpectPublished(*Open(Safetensors(old)), Rwkv7());
}

TEST(Names, OfRwkvCpp) {
  ExpectPublished(*Open(RwkvCpp(ForRwkvCpp4())), Rwkv4(), 2e-6f);
  ExpectPublished(*Open(RwkvCpp(ForRwkvCpp5())), Rwkv5(), 2e-6f);
  ExpectPublished(*Open(RwkvCpp(ForRwkvCpp6())), Rwkv6());
  ExpectPublished(*Open(RwkvCpp(ForRwkvCpp7())), Rwkv7());
}

// Where rounding has made a decay exactly 1 or 0, what comes back must be finite and give the same decay.
TEST(Names, DecaysAtTheEndsOfTheirRange) {
  Arrays five = Rwkv5();
  for (int i = 0; i < kLayers; ++i) five[BlockName(i) + "att.time_decay"] = {{2}, {1.0f, 0.0f}};
  const auto checkpoint = Open(RwkvCpp(five));
  const auto decay = ValuesOf(*checkpoint, "blocks.0.att.time_decay");
  EXPECT_TRUE(std::isfinite(decay[0]) && std::isfinite(decay[1]));
  EXPECT_EQ(std::exp(-std::exp(decay[0])), 1.0f);
  EXPECT_EQ(std::exp(-std::exp(decay[1])), 0.0f);
}

// RWKV-5.0 has no gate, and e^(time_first) for a bonus, which rwkv.cpp has computed.
TEST(Names, BonusesOfTheFirstRwkv5) {
  Arrays five = Rwkv5(), published = Rwkv5();
  for (int i = 0; i < kLayers; ++i) {
    const std::string att = BlockName(i) + "att.";
    for (const char* n : {"time_faaaa", "gate.weight", "time_mix_g"}) {
      five.erase(att + n);
      published.erase(att + n);
    }
    const Array first = {{kHeads}, {-1, 0.5f, 2}}, decay = {{kHeads}, {-2, 0.1f, 0.7f}};
    published[att + "time_first"] = first;
    published[att + "time_decay"] = decay;
    five[att + "time_first"] = Mapped(first, {kHeads, 1, 1}, [](double x) { return std::exp(x); });
    five[att + "time_decay"] = Mapped(decay, {kHeads, 1, 1}, [](double x) { return std::exp(-std::exp(x)); });
  }
  ExpectPublished(*Open(RwkvCpp(five)), published, 2e-6f);
}

TEST(Names, OfGguf) {
  ExpectPublished(*Open(Gguf("rwkv6", ForGguf6()).Finish()), Rwkv6());
  ExpectPublished(*Open(Gguf("rwkv6", ForGguf(Rwkv6())).Finish()), Rwkv6());  // not fused, as at first
  Arrays seven = ForGguf7();
  const auto open = [&] { return Open(Gguf("rwkv7", seven).Value("rwkv7.wkv.head_size", 2u).Finish()); };
  ExpectPublished(*open(), Rwkv7());
  for (const char* n : {"0", "1", "2"}) {  // what llama.cpp puts into the first layer
    seven[std::string("blk.0.time_mix_v") + n + ".weight"] =
        seven[std::string("blk.0.time_mix_a") + n + ".weight"];
  }
  ExpectPublished(*open(), Rwkv7());
  EXPECT_EQ(open()->format(), "gguf");
  EXPECT_EQ(open()->NameInFile("blocks.1.att.x_a"), "blk.1.time_mix_lerp_fused.weight");
  EXPECT_EQ(open()->NameInFile("blocks.7.att.w1"), "blk.7.time_mix_w1.weight");  // not there
}

// llama.cpp's converter divides what layers add to the sum by 2^(layer / n).
TEST(Names, RescaledLayersOfGguf) {
  const auto open = [](uint32_t every) {
    return Open(Gguf("rwkv6", ForGguf6(static_cast<int>(every)))
                    .Value("rwkv6.rescale_every_n_layers", every)
                    .Finish());
  };
  for (uint32_t every : {0u, 1u, 2u}) ExpectPublished(*open(every), Rwkv6());
  EXPECT_FALSE(open(1)->metadata().contains("rwkv6.rescale_every_n_layers"));
}

// Blocks lie along rows, so such a matrix is handed out as it lies.
TEST(Names, QuantisedLowRankMatricesStayAsTheyLie) {
  Arrays seven = ForGguf7();
  seven.erase("blk.1.time_mix_w1.weight");
  const std::string blocks(2 * 34, 'q');
  const auto checkpoint = Open(Gguf("rwkv7", seven)
                                   .Value("rwkv7.wkv.head_size", 2u)
                                   .Tensor("blk.1.time_mix_w1.weight", {32, 2}, 8, blocks)
                                   .Finish());
  const Checkpoint::Entry* entry = checkpoint->Find("blocks.1.att.w1");
  EXPECT_TRUE(entry->transposed);
  EXPECT_EQ(entry->shape, Shape({32, 2}));
  const Tensor stored = checkpoint->Load("blocks.1.att.w1");
  EXPECT_EQ(stored.shape(), Shape({2, 32}));
  EXPECT_EQ(std::string(static_cast<const char*>(stored.raw()), stored.bytes()), blocks);
  EXPECT_FALSE(checkpoint->Find("blocks.0.att.w1")->transposed);
  seven["blk.1.time_mix_w1.weight"] = ForGguf7().at("blk.1.time_mix_w1.weight");
  seven.erase("blk.1.time_mix_k_k.weight");
  EXPECT_TRUE(Refuses(Opening(Gguf("rwkv7", seven)
                                  .Value("rwkv7.wkv.head_size", 2u)
                                  .Tensor("blk.1.time_mix_k_k.weight", {32}, 8, std::string(34, 'q'))
                                  .Finish()),
                      "the tensor blk.1.time_mix_k_k.weight is q8_0"));
}

TEST(Names, OtherArchitecturesOfGguf) {
  EXPECT_TRUE(Refuses(Opening(Gguf("rwkv6qwen2", ForGguf6()).Finish()), "is of the architecture rwkv6qwen2"));
  EXPECT_TRUE(Refuses(Opening(Gguf("arwkv7", ForGguf7()).Finish()), "is of the architecture arwkv7"));
  EXPECT_TRUE(Refuses(Opening(Gguf("llama", ForGguf7()).Finish()),
                      "test-file: is of the architecture 'llama'; linnet reads rwkv6 and rwkv7 from GGUF"));
  EXPECT_TRUE(Refuses(Opening(Gguf("rwkv7", ForGguf7()).Finish()), "it has no rwkv7.wkv.head_size"));
}

TEST(Names, HuggingFacesInAPth) {
  pkl::Items items, storages;
  for (const auto& [name, a] : ForFla7(Rwkv7())) {
    const std::string key = std::to_string(storages.size());
    std::vector<int64_t> sizes(a.shape.begin(), a.shape.end()), strides(sizes.size(), 1);
    for (size_t i = sizes.size() - 1; i-- > 0;) strides[i] = strides[i + 1] * sizes[i + 1];
    items.push_back({"module." + name,
                     pkl::Tensor(pkl::Storage("FloatStorage", key, a.shape.size()), 0, sizes, strides)});
    storages.push_back({key, FloatBytes(a)});
  }
  const auto checkpoint = Open(Pth(pkl::OrderedDict(items), storages));
  ExpectPublished(*checkpoint, Rwkv7());
  EXPECT_EQ(checkpoint->NameInFile("blocks.1.att.w0"), "module.model.layers.1.attn.w_lora.lora.2.bias");
}

TEST(Names, OfRwkv8sDemosWhichCountLayersFromOne) {
  const Arrays demo{{"e.weight", {{12, 2}, std::vector<float>(24, 1)}},
                    {"ln1a.weight", {{2}, {1, 2}}},
                    {"ln2c.bias", {{2}, {3, 4}}},
                    {"rwkv2.x_r", {{1, 1, 2}, {5, 6}}},
                    {"rosa12.q.bias", {{2}, {7, 8}}},
                    {"lno.weight", {{2}, {9, 10}}},
                    {"o.bias", {{2}, {11, 12}}}};
  const auto checkpoint = Open(Safetensors(demo));
  ExpectPublished(*checkpoint, {{"emb.weight", demo.at("e.weight")},
                                {"blocks.0.ln1.weight", demo.at("ln1a.weight")},
                                {"blocks.1.ln3.bias", demo.at("ln2c.bias")},
                                {"blocks.1.att.x_r", demo.at("rwkv2.x_r")},
                                {"blocks.11.rosa.q.bias", demo.at("rosa12.q.bias")},
                                {"ln_out.weight", demo.at("lno.weight")},
                                {"head.bias", demo.at("o.bias")}});
  EXPECT_EQ(checkpoint->NameInFile("blocks.3.ffn.x_k"), "ffn4.x_k");
  ASSERT_EQ(checkpoint->vocabulary().size(), 12u);
  EXPECT_EQ(checkpoint->vocabulary()[10], ",");
  for (const char* name : {"rwkv0.x_r", "rwkv01.x_r", "rwkv.x_r"}) {
    Arrays wrong = demo;
    wrong[name] = demo.at("rwkv2.x_r");
    EXPECT_TRUE(Refuses(Opening(Safetensors(wrong)), "none of the names of RWKV-8's demos")) << name;
  }
}

TEST(Names, WrappersAreTakenOff) {
  const Array one = {{1}, {1}};
  const auto checkpoint = Open(Safetensors({{"_forward_module.a", one},
                                            {"_forward_module.module.c", one},
                                            {"_orig_mod.b", one},
                                            {"x.module.d", one}}));
  EXPECT_EQ(NamesOf(*checkpoint), (std::vector<std::string>{"a", "c", "b", "x.module.d"}));
  EXPECT_EQ(checkpoint->NameInFile("c"), "_forward_module.module.c");
  EXPECT_TRUE(Refuses(Opening(Safetensors({{"w", one}, {"module.w", one}})),
                      "test-file: module.w and w both stand for w"));
}

TEST(Names, RefusesWhatIsLeftOver) {
  Arrays fla = ForFla7(Rwkv7());
  fla["model.layers.0.attn.z_proj.weight"] = {{1}, {1}};
  EXPECT_TRUE(Refuses(Opening(Safetensors(fla)),
                      "test-file: the tensor model.layers.0.attn.z_proj.weight is none "
                      "of flash-linear-attention's names for RWKV-7"));
  fla = ForFla7(Rwkv7());
  fla["emb.weight"] = fla["model.embeddings.weight"];
  EXPECT_TRUE(Refuses(Opening(Safetensors(fla)), "test-file: the tensor emb.weight is none of"));
  Arrays gguf = ForGguf6();
  gguf["blk.x.attn_norm.weight"] = {{1}, {1}};
  EXPECT_TRUE(
      Refuses(Opening(Gguf("rwkv6", gguf).Finish()), "the tensor blk.x.attn_norm.weight is none of llama"));
}

TEST(Names, RefusesContradictions) {
  Arrays gguf = ForGguf6();
  gguf["blk.1.time_mix_lerp_r.weight"] = {{kWidth}, std::vector<float>(kWidth)};
  EXPECT_TRUE(Refuses(Opening(Gguf("rwkv6", gguf).Finish()),
                      "test-file: blk.1.time_mix_lerp_fused.weight and "
                      "blk.1.time_mix_lerp_r.weight both stand for "
                      "blocks.1.att.time_maa_r"));
}

TEST(Names, RefusesShapesThatDoNotFit) {
  const auto with = [](const std::string& name, const Array& array, uint32_t head_size = 2) {
    Arrays gguf = ForGguf7();
    gguf[name] = array;
    return Opening(Gguf("rwkv7", gguf).Value("rwkv7.wkv.head_size", head_size).Finish());
  };
  EXPECT_TRUE(Refuses(
      with("blk.0.time_mix_lerp_fused.weight", {{5, 1, 1, 6}, std::vector<float>(30)}),
      "test-file: the tensor blk.0.time_mix_lerp_fused.weight must hold 6 vectors but is [5, 1, 1, 6]"));
  EXPECT_TRUE(Refuses(with("blk.0.time_mix_w1.weight", {{6}, std::vector<float>(6)}),
                      "the tensor blk.0.time_mix_w1.weight must be a matrix but is [6]"));
  EXPECT_TRUE(Refuses(with("blk.0.time_mix_k_k.weight", {{6}, std::vector<float>(6)}, 4),
                      "the tensor blk.0.time_mix_r_k.weight is [6], no whole number of heads"));
  Arrays fla = ForFla6(Rwkv6());
  fla["model.layers.0.attn.x_proj.2.weight"] = {{kWidth, 9}, std::vector<float>(9 * kWidth)};
  EXPECT_TRUE(Refuses(Opening(Safetensors(fla)), "x_proj.2.weight must be [C, 5 r] but is [6, 9]"));
}

}  // namespace
}  // namespace linnet
