// What other programs' converters make of the published tensors of formats/published_models.h.
#pragma once

#include <algorithm>

#include "formats/published_models.h"

namespace linnet {

inline std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline bool Ends(const std::string& name, std::initializer_list<const char*> ends) {
  return std::any_of(ends.begin(), ends.end(), [&](const char* end) { return name.ends_with(end); });
}

inline Arrays ForTransformers(const Arrays& published) {
  Arrays result;
  for (const auto& [name, array] : published) {
    std::string n = name == "head.weight" ? name : "rwkv." + name;
    n = Replaced(Replaced(n, ".emb.", ".embeddings."), ".ln0.", ".pre_ln.");
    n = Replaced(Replaced(n, ".att.", ".attention."), ".ffn.", ".feed_forward.");
    const std::pair<const char*, const char*> mixes[] = {{"time_mix_k", "time_mix_key"},
                                                         {"time_mix_v", "time_mix_value"},
                                                         {"time_mix_r", "time_mix_receptance"},
                                                         {"time_mix_g", "time_mix_gate"}};
    for (const auto& [from, to] : mixes) n = Replaced(n, from, to);
    result[n] = array;
  }
  return result;
}

inline std::string FlaName(std::string name) {
  const std::pair<const char*, const char*> parts[] = {{"emb.weight", "model.embeddings.weight"},
                                                       {"ln_out", "model.norm"},
                                                       {"head.weight", "lm_head.weight"},
                                                       {"blocks", "model.layers"},
                                                       {".ln0", ".pre_norm"},
                                                       {".ln1", ".attn_norm"},
                                                       {".ln2", ".ffn_norm"},
                                                       {".att.", ".attn."},
                                                       {".ln_x", ".g_norm"},
                                                       {"attn.output", "attn.o_proj"}};
  for (const auto& [from, to] : parts) name = Replaced(name, from, to);
  return name;
}

inline Arrays ForFla7(const Arrays& published) {
  Arrays result;
  for (const auto& [name, array] : published) {
    std::string n = FlaName(name);
    n = Replaced(Replaced(n, "attn.receptance", "attn.r_proj"), "attn.key", "attn.k_proj");
    n = Replaced(n, "attn.value", "attn.v_proj");
    Array a = array;
    const std::string last = n.substr(n.rfind('.') + 1);
    if (last.size() == 2 && (last[1] == '1' || last[1] == '2')) {
      a = Turned(array);
      n = n.substr(0, n.size() - 2) + last[0] + "_lora.lora." + (last[1] == '1' ? "0" : "2") + ".weight";
    } else if (last.size() == 2 && last[1] == '0') {
      n = n.substr(0, n.size() - 2) + last[0] + "_lora.lora.2.bias";
    }
    if (array.shape.rank() == 3 && !last.starts_with("x_")) a.shape = {kWidth};
    result[n] = a;
  }
  return result;
}

/// Rows first of its five parts, in the order r, w, k, v, g.
inline Array MixDownOfFla(const Array& w1) {
  const Array turned = Turned(w1);
  const auto part = [&](size_t i) {
    const size_t size = kRank * kWidth;
    return Array{{}, {turned.values.begin() + i * size, turned.values.begin() + (i + 1) * size}};
  };
  return Joined({part(3), part(0), part(1), part(2), part(4)}, {5 * kRank, kWidth});
}

inline Array MixUpOfFla(const Array& w2) {
  const auto part = [&](size_t i) {
    const size_t size = kRank * kWidth;
    return Array{{}, {w2.values.begin() + i * size, w2.values.begin() + (i + 1) * size}};
  };
  return Turned(Joined({part(3), part(0), part(1), part(2), part(4)}, {5 * kRank, kWidth}));
}

inline Arrays ForFla6(const Arrays& published) {
  Arrays result;
  for (const auto& [name, array] : published) {
    if (Ends(name, {"maa_w", "maa_k", "maa_v", "maa_r", "maa_g"}) && name.find(".att.") != std::string::npos)
      continue;
    std::string n = FlaName(name);
    const std::pair<const char*, const char*> parts[] = {
        {"attn.receptance", "attn.r_proj.linear"},
        {"attn.key", "attn.k_proj.linear"},
        {"attn.value", "attn.v_proj.linear"},
        {"attn.gate", "attn.g_proj.linear"},
        {"time_faaaa", "bonus"},
        {"time_decay_w1", "w_proj.linear.lora.0.weight"},
        {"time_decay_w2", "w_proj.linear.lora.2.weight"},
        {"time_decay", "w_proj.linear.lora.2.bias"},
        {"time_maa_x", "x_proj.0.mu"},
        {"time_maa_w1", "x_proj.0.linear.weight"},
        {"time_maa_w2", "x_proj.2.weight"},
        {"ffn.time_maa_k", "ffn.key.mu"},
        {"ffn.time_maa_r", "ffn.receptance.mu"},
        {"ffn.key.weight", "ffn.key.linear.weight"},
        {"ffn.receptance.weight", "ffn.receptance.linear.weight"}};
    for (const auto& [from, to] : parts) n = Replaced(n, from, to);
    Array a = array;
    if (Ends(name, {"decay_w1", "decay_w2"})) a = Turned(array);
    if (name.ends_with("maa_w1")) a = MixDownOfFla(array);
    if (name.ends_with("maa_w2")) a = MixUpOfFla(array);
    result[n] = a;
  }
  for (int i = 0; i < kLayers; ++i) {
    const std::string maa = BlockName(i) + "att.time_maa_";
    std::vector<Array> mixes;
    for (const char* n : {"r", "w", "k", "v", "g"}) mixes.push_back(published.at(maa + n));
    result["model.layers." + std::to_string(i) + ".attn.x_bias"] = Joined(mixes, {5, kWidth});
  }
  return result;
}

inline std::string GgufName(std::string name) {
  const std::pair<const char*, const char*> parts[] = {{"emb.weight", "token_embd.weight"},
                                                       {"blocks.0.ln0", "token_embd_norm"},
                                                       {"ln_out", "output_norm"},
                                                       {"head.weight", "output.weight"},
                                                       {"blocks", "blk"},
                                                       {".ln1", ".attn_norm"},
                                                       {".ln2", ".attn_norm_2"},
                                                       {"att.ln_x", "time_mix_ln"},
                                                       {"att.time_decay", "time_mix_decay"},
                                                       {"att.time_maa_w1", "time_mix_w1"},
                                                       {"att.time_maa_w2", "time_mix_w2"},
                                                       {"att.time_maa_", "time_mix_lerp_"},
                                                       {"att.time_faaaa", "time_mix_first"},
                                                       {"ffn.time_maa_", "channel_mix_lerp_"},
                                                       {"ffn.x_", "channel_mix_lerp_"},
                                                       {"ffn.", "channel_mix_"},
                                                       {"att.", "time_mix_"}};
  for (const auto& [from, to] : parts) name = Replaced(name, from, to);
  return name.ends_with(".weight") || name.ends_with(".bias") ? name : name + ".weight";
}

/// All but the mixes, as llama.cpp's converter stores them.
inline Arrays ForGguf(const Arrays& published, int rescale_every = 0) {
  Arrays result;
  for (const auto& [name, array] : published) {
    Array a = array;
    if (Ends(name, {"w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"})) a = Turned(array);
    if (name.ends_with("r_k") || (array.shape.rank() == 3 && array.shape[0] == 1))
      a.shape = {array.shape.size()};
    if (rescale_every > 0 && Ends(name, {"att.output.weight", "ffn.value.weight"})) {
      for (float& value : a.values) value /= static_cast<float>(1 << ((name[7] - '0') / rescale_every));
    }
    result[GgufName(name)] = a;
  }
  return result;
}

/// The mixes of each layer in one tensor; with the layers' old ones gone.
inline Arrays Fused(Arrays arrays, const Arrays& published, const std::string& prefix,
                    const std::vector<std::string>& order, const std::string& block_name,
                    const std::string& fused) {
  for (int i = 0; i < kLayers; ++i) {
    std::vector<Array> mixes;
    for (const std::string& n : order) {
      const std::string name = BlockName(i) + prefix + n;
      mixes.push_back(published.at(name));
      arrays.erase(name);
      arrays.erase(GgufName(name));
    }
    arrays[block_name + "." + std::to_string(i) + "." + fused] =
        Joined(mixes, {static_cast<Dim>(order.size()), 1, 1, kWidth});
  }
  return arrays;
}

inline GgufWriter Gguf(const std::string& architecture, const Arrays& arrays) {
  GgufWriter writer;
  writer.Value("general.architecture", architecture);
  for (const auto& [name, a] : arrays) writer.Tensor(name, ExtentsOf(a.shape), 0, FloatBytes(a));
  return writer;
}

inline Arrays ForGguf6(int rescale_every = 0) {
  return Fused(ForGguf(Rwkv6(), rescale_every), Rwkv6(), "att.time_maa_", {"w", "k", "v", "r", "g"}, "blk",
               "time_mix_lerp_fused.weight");
}

inline Arrays ForGguf7() {
  return Fused(ForGguf(Rwkv7()), Rwkv7(), "att.x_", {"r", "w", "k", "v", "a", "g"}, "blk",
               "time_mix_lerp_fused.weight");
}

inline Arrays ForRwkvCpp4() {
  Arrays arrays = Rwkv4();
  for (auto& [name, array] : arrays) {
    if (name.ends_with("time_decay"))
      array = Mapped(array, array.shape, [](double x) { return -std::exp(x); });
  }
  return arrays;
}

inline Arrays ForRwkvCpp5() {
  Arrays arrays = Rwkv5();
  const Shape shape = {kHeads, kHeadSize, 1};
  for (auto& [name, array] : arrays) {
    if (name.ends_with("time_decay"))
      array = Mapped(array, shape, [](double x) { return std::exp(-std::exp(x)); });
    if (name.ends_with("time_faaaa")) array.shape = shape;
  }
  return arrays;
}

inline Arrays ForRwkvCpp6() {
  Arrays arrays = Rwkv6();
  for (auto& [name, array] : arrays) {
    if (Ends(name, {"maa_w1", "maa_w2", "decay_w1", "decay_w2"})) array = Turned(array);
    if (Ends(name, {"time_decay", "time_faaaa"})) array.shape = {kHeads, kHeadSize, 1};
  }
  return arrays;
}

inline Arrays ForRwkvCpp7() {
  Arrays arrays = Fused(Rwkv7(), Rwkv7(), "att.x_", {"r", "w", "k", "v", "a", "g"}, "blocks", "att.x_rwkvag");
  for (auto& [name, array] : arrays) {
    if (Ends(name, {"w1", "w2", "a1", "a2", "v1", "v2", "g1", "g2"})) array = Turned(array);
    if (name.ends_with("x_rwkvag")) array.shape = {6, 1, kWidth};
  }
  return arrays;
}

inline std::string RwkvCpp(const Arrays& arrays) {
  RwkvCppWriter writer(101, kVocab, kWidth, kLayers);
  for (const auto& [name, a] : arrays) writer.Tensor(name, ExtentsOf(a.shape), 0, FloatBytes(a));
  return writer.Finish();
}

}  // namespace linnet
