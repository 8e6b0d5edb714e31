// The tables of formats/names.h: what other programs call the tensors of BlinkDL's published checkpoints, and
// what their converters do to them. Sources, for the facts:
//
//  - llama.cpp: conversion/rwkv.py, gguf-py's tensor_mapping.py, src/models/rwkv6.cpp, rwkv7.cpp
//  - rwkv.cpp: python/convert_pytorch_to_ggml.py
//  - transformers: models/rwkv; for RWKV-5 and 6 the remote code of BBuf/RWKV-World-HF-Tokenizer
//  - flash-linear-attention: utils/convert_from_rwkv6.py, convert_from_rwkv7.py, fla/layers/rwkv6.py
//  - RWKV-LM: RWKV-v8, 251016_rosa_1bit_run.py, 251105_reverse_run.py
#include "formats/names.h"

namespace linnet {
namespace {

using enum Relayout;

bool Has(const Checkpoint& file, const char* name) { return file.Find(name) != nullptr; }

bool HasArchitecture(const Checkpoint& file, std::string_view name) {
  const auto found = file.metadata().find("general.architecture");
  return file.format() == "gguf" && found != file.metadata().end() && found->second == name;
}

constexpr NameRule kWrappers[] = {
    {"_forward_module.*", "*"},  // DeepSpeed
    {"module.*", "*"},           // data-parallel torch
    {"_orig_mod.*", "*"},        // torch.compile
};

bool HasWrapper(const Checkpoint& file) {
  for (const Checkpoint::Entry& entry : file.entries()) {
    for (const NameRule& rule : kWrappers) {
      if (entry.name.starts_with(rule.pattern.substr(0, rule.pattern.size() - 1))) return true;
    }
  }
  return false;
}

// llama.cpp's low-rank matrices are [out, in], BlinkDL's [in, out].
constexpr NameRule kGguf6[] = {
    {"token_embd.weight", "emb.weight"},
    {"token_embd_norm.*", "blocks.0.ln0.*"},
    {"output_norm.*", "ln_out.*"},
    {"output.weight", "head.weight"},
    {"blk.#.attn_norm.*", "blocks.#.ln1.*"},
    {"blk.#.attn_norm_2.*", "blocks.#.ln2.*"},
    {"blk.#.time_mix_lerp_x.weight", "blocks.#.att.time_maa_x", kVector},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.time_maa_w", kPart, 0, 5},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.time_maa_k", kPart, 1, 5},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.time_maa_v", kPart, 2, 5},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.time_maa_r", kPart, 3, 5},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.time_maa_g", kPart, 4, 5},
    {"blk.#.time_mix_lerp_w.weight", "blocks.#.att.time_maa_w", kVector},  // before they were fused
    {"blk.#.time_mix_lerp_k.weight", "blocks.#.att.time_maa_k", kVector},
    {"blk.#.time_mix_lerp_v.weight", "blocks.#.att.time_maa_v", kVector},
    {"blk.#.time_mix_lerp_r.weight", "blocks.#.att.time_maa_r", kVector},
    {"blk.#.time_mix_lerp_g.weight", "blocks.#.att.time_maa_g", kVector},
    {"blk.#.time_mix_w1.weight", "blocks.#.att.time_maa_w1", kTransposed},
    {"blk.#.time_mix_w2.weight", "blocks.#.att.time_maa_w2", kTransposed},
    {"blk.#.time_mix_decay.weight", "blocks.#.att.time_decay", kVector},
    {"blk.#.time_mix_decay_w1.weight", "blocks.#.att.time_decay_w1", kTransposed},
    {"blk.#.time_mix_decay_w2.weight", "blocks.#.att.time_decay_w2", kTransposed},
    {"blk.#.time_mix_first.weight", "blocks.#.att.time_faaaa"},
    {"blk.#.time_mix_key.weight", "blocks.#.att.key.weight"},
    {"blk.#.time_mix_value.weight", "blocks.#.att.value.weight"},
    {"blk.#.time_mix_receptance.weight", "blocks.#.att.receptance.weight"},
    {"blk.#.time_mix_gate.weight", "blocks.#.att.gate.weight"},
    {"blk.#.time_mix_output.weight", "blocks.#.att.output.weight", kTimesPowerOfTwo},
    {"blk.#.time_mix_ln.*", "blocks.#.att.ln_x.*"},
    {"blk.#.channel_mix_lerp_k.weight", "blocks.#.ffn.time_maa_k", kVector},
    {"blk.#.channel_mix_lerp_r.weight", "blocks.#.ffn.time_maa_r", kVector},
    {"blk.#.channel_mix_key.weight", "blocks.#.ffn.key.weight"},
    {"blk.#.channel_mix_receptance.weight", "blocks.#.ffn.receptance.weight"},
    {"blk.#.channel_mix_value.weight", "blocks.#.ffn.value.weight", kTimesPowerOfTwo},
};

constexpr NameRule kGguf7[] = {
    {"token_embd.weight", "emb.weight"},
    {"token_embd_norm.*", "blocks.0.ln0.*"},
    {"output_norm.*", "ln_out.*"},
    {"output.weight", "head.weight"},
    {"blk.#.attn_norm.*", "blocks.#.ln1.*"},
    {"blk.#.attn_norm_2.*", "blocks.#.ln2.*"},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.x_r", kPart, 0, 6},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.x_w", kPart, 1, 6},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.x_k", kPart, 2, 6},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.x_v", kPart, 3, 6},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.x_a", kPart, 4, 6},
    {"blk.#.time_mix_lerp_fused.weight", "blocks.#.att.x_g", kPart, 5, 6},
    {"blk.0.time_mix_v0.weight", ""},  // llama.cpp wants them there; they are copies of a0, a1, a2
    {"blk.0.time_mix_v1.weight", ""},
    {"blk.0.time_mix_v2.weight", ""},
    {"blk.#.time_mix_w0.weight", "blocks.#.att.w0", kVector},
    {"blk.#.time_mix_a0.weight", "blocks.#.att.a0", kVector},
    {"blk.#.time_mix_v0.weight", "blocks.#.att.v0", kVector},
    {"blk.#.time_mix_w1.weight", "blocks.#.att.w1", kTransposed},
    {"blk.#.time_mix_w2.weight", "blocks.#.att.w2", kTransposed},
    {"blk.#.time_mix_a1.weight", "blocks.#.att.a1", kTransposed},
    {"blk.#.time_mix_a2.weight", "blocks.#.att.a2", kTransposed},
    {"blk.#.time_mix_v1.weight", "blocks.#.att.v1", kTransposed},
    {"blk.#.time_mix_v2.weight", "blocks.#.att.v2", kTransposed},
    {"blk.#.time_mix_g1.weight", "blocks.#.att.g1", kTransposed},
    {"blk.#.time_mix_g2.weight", "blocks.#.att.g2", kTransposed},
    {"blk.#.time_mix_k_k.weight", "blocks.#.att.k_k", kVector},
    {"blk.#.time_mix_k_a.weight", "blocks.#.att.k_a", kVector},
    {"blk.#.time_mix_r_k.weight", "blocks.#.att.r_k", kHeads},
    {"blk.#.time_mix_key.weight", "blocks.#.att.key.weight"},
    {"blk.#.time_mix_value.weight", "blocks.#.att.value.weight"},
    {"blk.#.time_mix_receptance.weight", "blocks.#.att.receptance.weight"},
    {"blk.#.time_mix_output.weight", "blocks.#.att.output.weight"},
    {"blk.#.time_mix_ln.*", "blocks.#.att.ln_x.*"},
    {"blk.#.channel_mix_lerp_k.weight", "blocks.#.ffn.x_k", kVector},
    {"blk.#.channel_mix_key.weight", "blocks.#.ffn.key.weight"},
    {"blk.#.channel_mix_value.weight", "blocks.#.ffn.value.weight"},
};

// rwkv.cpp keeps BlinkDL's names. It stores what it computes from decays and bonuses, with a unit extent
// behind those of heads.
constexpr NameRule kRwkvCpp4[] = {
    {"blocks.#.att.time_decay", "blocks.#.att.time_decay", kLogOfNegative},
};
constexpr NameRule kRwkvCpp5[] = {
    {"blocks.#.att.time_decay", "blocks.#.att.time_decay", kLogOfNegativeLog},
    {"blocks.#.att.time_faaaa", "blocks.#.att.time_faaaa", kTrimmed},
    {"blocks.#.att.time_first", "blocks.#.att.time_first", kLog},
};
constexpr NameRule kRwkvCpp6[] = {
    {"blocks.#.att.time_decay", "blocks.#.att.time_decay", kVector},
    {"blocks.#.att.time_faaaa", "blocks.#.att.time_faaaa", kTrimmed},
    {"blocks.#.att.time_maa_w1", "blocks.#.att.time_maa_w1", kTransposed},
    {"blocks.#.att.time_maa_w2", "blocks.#.att.time_maa_w2", kTransposed},
    {"blocks.#.att.time_decay_w1", "blocks.#.att.time_decay_w1", kTransposed},
    {"blocks.#.att.time_decay_w2", "blocks.#.att.time_decay_w2", kTransposed},
};
constexpr NameRule kRwkvCpp7[] = {
    {"blocks.#.att.x_rwkvag", "blocks.#.att.x_r", kPart, 0, 6},
    {"blocks.#.att.x_rwkvag", "blocks.#.att.x_w", kPart, 1, 6},
    {"blocks.#.att.x_rwkvag", "blocks.#.att.x_k", kPart, 2, 6},
    {"blocks.#.att.x_rwkvag", "blocks.#.att.x_v", kPart, 3, 6},
    {"blocks.#.att.x_rwkvag", "blocks.#.att.x_a", kPart, 4, 6},
    {"blocks.#.att.x_rwkvag", "blocks.#.att.x_g", kPart, 5, 6},
    {"blocks.#.att.w1", "blocks.#.att.w1", kTransposed},
    {"blocks.#.att.w2", "blocks.#.att.w2", kTransposed},
    {"blocks.#.att.a1", "blocks.#.att.a1", kTransposed},
    {"blocks.#.att.a2", "blocks.#.att.a2", kTransposed},
    {"blocks.#.att.v1", "blocks.#.att.v1", kTransposed},
    {"blocks.#.att.v2", "blocks.#.att.v2", kTransposed},
    {"blocks.#.att.g1", "blocks.#.att.g1", kTransposed},
    {"blocks.#.att.g2", "blocks.#.att.g2", kTransposed},
};

// RWKV-4 of transformers, and 5 and 6 of its users' remote code.
constexpr NameRule kTransformers[] = {
    {"rwkv.embeddings.weight", "emb.weight"},
    {"rwkv.blocks.0.pre_ln.*", "blocks.0.ln0.*"},
    {"rwkv.blocks.#.ln1.*", "blocks.#.ln1.*"},
    {"rwkv.blocks.#.ln2.*", "blocks.#.ln2.*"},
    {"rwkv.blocks.#.attention.time_mix_key", "blocks.#.att.time_mix_k"},
    {"rwkv.blocks.#.attention.time_mix_value", "blocks.#.att.time_mix_v"},
    {"rwkv.blocks.#.attention.time_mix_receptance", "blocks.#.att.time_mix_r"},
    {"rwkv.blocks.#.attention.time_mix_gate", "blocks.#.att.time_mix_g"},
    {"rwkv.blocks.#.attention.*", "blocks.#.att.*"},
    {"rwkv.blocks.#.feed_forward.time_mix_key", "blocks.#.ffn.time_mix_k"},
    {"rwkv.blocks.#.feed_forward.time_mix_receptance", "blocks.#.ffn.time_mix_r"},
    {"rwkv.blocks.#.feed_forward.*", "blocks.#.ffn.*"},
    {"rwkv.ln_out.*", "ln_out.*"},
    {"head.weight", "head.weight"},
};

constexpr NameRule kFla6[] = {
    {"model.embeddings.weight", "emb.weight"},
    {"model.layers.0.pre_norm.*", "blocks.0.ln0.*"},
    {"model.layers.#.attn_norm.*", "blocks.#.ln1.*"},
    {"model.layers.#.ffn_norm.*", "blocks.#.ln2.*"},
    {"model.norm.*", "ln_out.*"},
    {"lm_head.weight", "head.weight"},
    {"model.layers.#.attn.x_proj.0.mu", "blocks.#.att.time_maa_x", kVector},
    {"model.layers.#.attn.x_proj.0.linear.weight", "blocks.#.att.time_maa_w1", kMixDown},
    {"model.layers.#.attn.x_proj.2.weight", "blocks.#.att.time_maa_w2", kMixUp},
    {"model.layers.#.attn.x_bias", "blocks.#.att.time_maa_r", kPart, 0, 5},
    {"model.layers.#.attn.x_bias", "blocks.#.att.time_maa_w", kPart, 1, 5},
    {"model.layers.#.attn.x_bias", "blocks.#.att.time_maa_k", kPart, 2, 5},
    {"model.layers.#.attn.x_bias", "blocks.#.att.time_maa_v", kPart, 3, 5},
    {"model.layers.#.attn.x_bias", "blocks.#.att.time_maa_g", kPart, 4, 5},
    {"model.layers.#.attn.w_proj.linear.lora.0.weight", "blocks.#.att.time_decay_w1", kTransposed},
    {"model.layers.#.attn.w_proj.linear.lora.2.weight", "blocks.#.att.time_decay_w2", kTransposed},
    {"model.layers.#.attn.w_proj.linear.lora.2.bias", "blocks.#.att.time_decay", kVector},
    {"model.layers.#.attn.bonus", "blocks.#.att.time_faaaa"},
    {"model.layers.#.attn.r_proj.linear.weight", "blocks.#.att.receptance.weight"},
    {"model.layers.#.attn.k_proj.linear.weight", "blocks.#.att.key.weight"},
    {"model.layers.#.attn.v_proj.linear.weight", "blocks.#.att.value.weight"},
    {"model.layers.#.attn.g_proj.linear.weight", "blocks.#.att.gate.weight"},
    {"model.layers.#.attn.o_proj.weight", "blocks.#.att.output.weight"},
    {"model.layers.#.attn.g_norm.*", "blocks.#.att.ln_x.*"},
    {"model.layers.#.ffn.key.linear.weight", "blocks.#.ffn.key.weight"},
    {"model.layers.#.ffn.key.mu", "blocks.#.ffn.time_maa_k", kVector},
    {"model.layers.#.ffn.receptance.linear.weight", "blocks.#.ffn.receptance.weight"},
    {"model.layers.#.ffn.receptance.mu", "blocks.#.ffn.time_maa_r", kVector},
    {"model.layers.#.ffn.value.weight", "blocks.#.ffn.value.weight"},
};

constexpr NameRule kFla7[] = {
    {"model.embeddings.weight", "emb.weight"},
    {"model.layers.0.pre_norm.*", "blocks.0.ln0.*"},
    {"model.layers.#.attn_norm.*", "blocks.#.ln1.*"},
    {"model.layers.#.ffn_norm.*", "blocks.#.ln2.*"},
    {"model.norm.*", "ln_out.*"},
    {"lm_head.weight", "head.weight"},
    {"model.layers.#.attn.x_x", "blocks.#.att.x_r", kPart, 0, 6},  // of its first releases
    {"model.layers.#.attn.x_x", "blocks.#.att.x_w", kPart, 1, 6},
    {"model.layers.#.attn.x_x", "blocks.#.att.x_k", kPart, 2, 6},
    {"model.layers.#.attn.x_x", "blocks.#.att.x_v", kPart, 3, 6},
    {"model.layers.#.attn.x_x", "blocks.#.att.x_a", kPart, 4, 6},
    {"model.layers.#.attn.x_x", "blocks.#.att.x_g", kPart, 5, 6},
    {"model.layers.#.attn.x_*", "blocks.#.att.x_*", kVector},
    {"model.layers.0.attn.v_lora.*", ""},  // there in its first releases, and read by nothing
    {"model.layers.#.attn.w_lora.lora.0.weight", "blocks.#.att.w1", kTransposed},
    {"model.layers.#.attn.w_lora.lora.2.weight", "blocks.#.att.w2", kTransposed},
    {"model.layers.#.attn.w_lora.lora.2.bias", "blocks.#.att.w0", kVector},
    {"model.layers.#.attn.a_lora.lora.0.weight", "blocks.#.att.a1", kTransposed},
    {"model.layers.#.attn.a_lora.lora.2.weight", "blocks.#.att.a2", kTransposed},
    {"model.layers.#.attn.a_lora.lora.2.bias", "blocks.#.att.a0", kVector},
    {"model.layers.#.attn.v_lora.lora.0.weight", "blocks.#.att.v1", kTransposed},
    {"model.layers.#.attn.v_lora.lora.2.weight", "blocks.#.att.v2", kTransposed},
    {"model.layers.#.attn.v_lora.lora.2.bias", "blocks.#.att.v0", kVector},
    {"model.layers.#.attn.g_lora.lora.0.weight", "blocks.#.att.g1", kTransposed},
    {"model.layers.#.attn.g_lora.lora.2.weight", "blocks.#.att.g2", kTransposed},
    {"model.layers.#.attn.k_k", "blocks.#.att.k_k", kVector},
    {"model.layers.#.attn.k_a", "blocks.#.att.k_a", kVector},
    {"model.layers.#.attn.r_k", "blocks.#.att.r_k"},
    {"model.layers.#.attn.r_proj.weight", "blocks.#.att.receptance.weight"},
    {"model.layers.#.attn.k_proj.weight", "blocks.#.att.key.weight"},
    {"model.layers.#.attn.v_proj.weight", "blocks.#.att.value.weight"},
    {"model.layers.#.attn.o_proj.weight", "blocks.#.att.output.weight"},
    {"model.layers.#.attn.g_norm.*", "blocks.#.att.ln_x.*"},
    {"model.layers.#.ffn.x_k", "blocks.#.ffn.x_k", kVector},
    {"model.layers.#.ffn.key.weight", "blocks.#.ffn.key.weight"},
    {"model.layers.#.ffn.value.weight", "blocks.#.ffn.value.weight"},
};

bool IsRwkvCpp(const Checkpoint& file) { return file.format() == "rwkv.cpp"; }

/// Where a later row could match what an earlier one does, the earlier counts.
// Karpathy's character models; c is the candidate, g in linnet.
constexpr NameRule kRecurrentJs[] = {
    {"Wil", "emb.weight"},
    {"Whd", "head.weight"},
    {"bd", "head.bias", kVector},
    {"Wix#", "blocks.#.lstm.i.x.weight"},
    {"Wih#", "blocks.#.lstm.i.h.weight"},
    {"bi#", "blocks.#.lstm.i.bias", kVector},
    {"Wfx#", "blocks.#.lstm.f.x.weight"},
    {"Wfh#", "blocks.#.lstm.f.h.weight"},
    {"bf#", "blocks.#.lstm.f.bias", kVector},
    {"Wox#", "blocks.#.lstm.o.x.weight"},
    {"Woh#", "blocks.#.lstm.o.h.weight"},
    {"bo#", "blocks.#.lstm.o.bias", kVector},
    {"Wcx#", "blocks.#.lstm.g.x.weight"},
    {"Wch#", "blocks.#.lstm.g.h.weight"},
    {"bc#", "blocks.#.lstm.g.bias", kVector},
};

// RWKV-8's demos number modules by layer, from 1; a, b, c are the norms before RWKV, channel mix and ROSA.
constexpr NameRule kReverse[] = {
    {"e.weight", "emb.weight"},   {"ln%a.*", "blocks.#.ln1.*"},  {"ln%b.*", "blocks.#.ln2.*"},
    {"ln%c.*", "blocks.#.ln3.*"}, {"rwkv%.*", "blocks.#.att.*"}, {"rosa%.*", "blocks.#.rosa.*"},
    {"ffn%.*", "blocks.#.ffn.*"}, {"lno.*", "ln_out.*"},         {"o.*", "head.*"},
};

// Of the first of them, which are ROSA and little else.
constexpr NameRule kRosaAlone[] = {
    {"e.weight", "emb.weight"},     {"emb_rosa.emb.weight", "rosa_emb.weight"},
    {"rosa%.*", "blocks.#.rosa.*"}, {"lin.*", "blocks.0.lin.*"},
    {"lin#.*", "blocks.#.lin.*"},   {"o.*", "head.*"},
};

constexpr Dialect kDialects[] = {
    {"llama.cpp's names for RWKV-6", [](const Checkpoint& file) { return HasArchitecture(file, "rwkv6"); },
     kGguf6, false},
    {"llama.cpp's names for RWKV-7", [](const Checkpoint& file) { return HasArchitecture(file, "rwkv7"); },
     kGguf7, false},
    {"rwkv.cpp's names for RWKV-7",
     [](const Checkpoint& file) { return IsRwkvCpp(file) && Has(file, "blocks.0.att.r_k"); }, kRwkvCpp7,
     true},
    {"rwkv.cpp's names for RWKV-6",
     [](const Checkpoint& file) { return IsRwkvCpp(file) && Has(file, "blocks.0.att.time_maa_x"); },
     kRwkvCpp6, true},
    {"rwkv.cpp's names for RWKV-5",
     [](const Checkpoint& file) { return IsRwkvCpp(file) && Has(file, "blocks.0.att.ln_x.weight"); },
     kRwkvCpp5, true},
    {"rwkv.cpp's names for RWKV-4", IsRwkvCpp, kRwkvCpp4, true},
    {"transformers' names for RWKV",
     [](const Checkpoint& file) { return Has(file, "rwkv.embeddings.weight"); }, kTransformers, false},
    {"recurrentjs' names for an LSTM",
     [](const Checkpoint& file) { return Has(file, "Wil") && Has(file, "Wix0"); }, kRecurrentJs, false},
    {"flash-linear-attention's names for RWKV-6",
     [](const Checkpoint& file) { return Has(file, "model.layers.0.attn.x_proj.0.mu"); }, kFla6, false},
    {"flash-linear-attention's names for RWKV-7",
     [](const Checkpoint& file) {
       return Has(file, "model.layers.0.attn.x_r") || Has(file, "model.layers.0.attn.x_x");
     },
     kFla7, false},
    {"the names of RWKV-8's demos",
     [](const Checkpoint& file) { return Has(file, "e.weight") && Has(file, "lno.weight"); }, kReverse, false,
     "0123456789,#"},
    {"the names of RWKV-8's first demos",
     [](const Checkpoint& file) { return Has(file, "emb_rosa.emb.weight"); }, kRosaAlone, false,
     "0123456789A"},
};

constexpr Dialect kWrapped = {"wrapped names", HasWrapper, kWrappers, true};

}  // namespace

const Dialect& WrappersDialect() { return kWrapped; }

std::span<const Dialect> Dialects() { return kDialects; }

const Dialect* GgufDialect(std::string_view architecture) {
  if (architecture == "rwkv6") return &kDialects[0];
  if (architecture == "rwkv7") return &kDialects[1];
  return nullptr;
}

}  // namespace linnet
