#include "train/groups.h"

#include <gtest/gtest.h>

#include <map>

#include "nn/model.h"
#include "train/refusal.h"

namespace linnet {
namespace {

LoadedModel Tiny(const std::string& arch) {
  const Architecture& architecture = FindArchitecture(arch);
  Sizes sizes{{"layers", 2}, {"width", 32}, {"vocab", 256}};
  if (arch != "rwkv4") sizes["head_size"] = 16;
  return NewModel(architecture, architecture.complete_sizes(sizes), 1);
}

/// Rates of the parameters of block 1, by the end of their names.
std::map<std::string, double> Rates(const LoadedModel& model, Layerwise layerwise) {
  std::map<std::string, double> rates;
  const std::string block = "blocks.1.";
  for (const Parameter& p : model.params->parameters()) {
    if (p.name.starts_with(block)) rates[p.name.substr(block.size())] = LearningRateScale(p, layerwise);
  }
  return rates;
}

TEST(Groups, Stage2SpeedsUpTheTimeMixAlone) {
  const auto rwkv6 = Rates(Tiny("rwkv6"), Layerwise::kStage2);
  for (const char* fast : {"att.time_maa_x", "att.time_maa_w", "att.time_decay", "att.time_faaaa",
                           "ffn.time_maa_k", "ffn.time_maa_r"}) {
    EXPECT_EQ(rwkv6.at(fast), 5) << fast;
  }
  for (const char* slow : {"att.time_maa_w1", "att.time_maa_w2", "att.time_decay_w1", "att.time_decay_w2",
                           "att.key.weight", "att.ln_x.weight", "ln1.bias"}) {
    EXPECT_EQ(rwkv6.at(slow), 1) << slow;
  }
  const auto rwkv4 = Rates(Tiny("rwkv4"), Layerwise::kStage2);
  for (const char* fast : {"att.time_mix_k", "ffn.time_mix_r", "att.time_decay", "att.time_first"}) {
    EXPECT_EQ(rwkv4.at(fast), 5) << fast;
  }
}

TEST(Groups, RatesAreThoseOfTheArchitectureOrAllOne) {
  const LoadedModel rwkv4 = Tiny("rwkv4"), rwkv7 = Tiny("rwkv7");
  EXPECT_EQ(Rates(rwkv4, Layerwise::kOn).at("att.time_decay"), 2);
  EXPECT_EQ(Rates(rwkv4, Layerwise::kOn).at("att.time_first"), 3);
  EXPECT_EQ(Rates(rwkv7, Layerwise::kOn).at("att.w0"), 2);
  EXPECT_EQ(Rates(rwkv7, Layerwise::kOn).at("att.a0"), 1);
  for (const LoadedModel* model : {&rwkv4, &rwkv7}) {
    for (const auto& [name, rate] : Rates(*model, Layerwise::kOff)) EXPECT_EQ(rate, 1) << name;
  }
}

TEST(Groups, EveryParameterIsInOneGroup) {
  const LoadedModel model = Tiny("rwkv7");
  size_t count = 0;
  const auto groups = Groups(model.params->parameters(), Layerwise::kOn);
  EXPECT_EQ(groups.size(), 3u);
  for (const ParameterGroup& group : groups) count += group.names.size();
  EXPECT_EQ(count, model.params->parameters().size());
}

TEST(Groups, Stage2IsRefusedWhereThereIsNone) {
  EXPECT_TRUE(Refused([] { ParseLayerwise("stage3"); }, {"--layerwise", "stage2", "'stage3'"}));
  EXPECT_TRUE(Refused([] { CheckLayerwise(Layerwise::kStage2, Tiny("rwkv7").params->parameters()); },
                      {"--layerwise stage2", "rwkv4"}));
  EXPECT_NO_THROW(CheckLayerwise(Layerwise::kStage2, Tiny("rwkv5").params->parameters()));
}

}  // namespace
}  // namespace linnet
