// Small models under BlinkDL's names, with values to tell every element from every other, and what the
// converters of other programs do to such tensors.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "formats/ggml_builder.h"
#include "tensor/tensor.h"

namespace linnet {

struct Array {
  Shape shape;
  std::vector<float> values;
};
using Arrays = std::map<std::string, Array>;

inline constexpr Dim kWidth = 6, kHeads = 3, kHeadSize = 2, kInner = 8, kVocab = 5, kRank = 2;
inline constexpr int kLayers = 2;

class ModelBuilder {
 public:
  ModelBuilder() {
    Add("emb.weight", {kVocab, kWidth});
    Norm("blocks.0.ln0");
    Norm("ln_out");
    Add("head.weight", {kVocab, kWidth});
  }

  void Add(const std::string& name, const Shape& shape) {
    Array& array = arrays_[name];
    array.shape = shape;
    for (Dim i = 0; i < shape.size(); ++i) array.values.push_back(static_cast<float>(++last_) / 1024);
  }
  void Norm(const std::string& name) {
    Add(name + ".weight", {kWidth});
    Add(name + ".bias", {kWidth});
  }
  void Vectors(const std::string& prefix, std::initializer_list<const char*> names) {
    for (const char* name : names) Add(prefix + name, {1, 1, kWidth});
  }
  void Squares(const std::string& prefix, std::initializer_list<const char*> names) {
    for (const char* name : names) Add(prefix + name + ".weight", {kWidth, kWidth});
  }
  /// What every version has in a block.
  void Block(const std::string& block) {
    Norm(block + "ln1");
    Norm(block + "ln2");
    Squares(block + "att.", {"receptance", "key", "value", "output"});
    Add(block + "ffn.key.weight", {kInner, kWidth});
    Add(block + "ffn.value.weight", {kWidth, kInner});
  }

  const Arrays& arrays() const { return arrays_; }

 private:
  Arrays arrays_;
  int last_ = 0;
};

inline std::string BlockName(int layer) { return "blocks." + std::to_string(layer) + "."; }

inline Arrays Rwkv4() {
  ModelBuilder model;
  for (int i = 0; i < kLayers; ++i) {
    const std::string block = BlockName(i), att = block + "att.";
    model.Block(block);
    model.Add(att + "time_decay", {kWidth});
    model.Add(att + "time_first", {kWidth});
    model.Vectors(att, {"time_mix_k", "time_mix_v", "time_mix_r"});
    model.Vectors(block + "ffn.", {"time_mix_k", "time_mix_r"});
    model.Squares(block + "ffn.", {"receptance"});
  }
  return model.arrays();
}

inline Arrays Rwkv5() {
  ModelBuilder model;
  for (int i = 0; i < kLayers; ++i) {
    const std::string block = BlockName(i), att = block + "att.";
    model.Block(block);
    model.Add(att + "time_decay", {kHeads, kHeadSize});
    model.Add(att + "time_faaaa", {kHeads, kHeadSize});
    model.Vectors(att, {"time_mix_k", "time_mix_v", "time_mix_r", "time_mix_g"});
    model.Squares(att, {"gate"});
    model.Norm(att + "ln_x");
    model.Vectors(block + "ffn.", {"time_mix_k", "time_mix_r"});
    model.Squares(block + "ffn.", {"receptance"});
  }
  return model.arrays();
}

inline Arrays Rwkv6() {
  ModelBuilder model;
  for (int i = 0; i < kLayers; ++i) {
    const std::string block = BlockName(i), att = block + "att.";
    model.Block(block);
    model.Vectors(att, {"time_maa_x", "time_maa_w", "time_maa_k", "time_maa_v", "time_maa_r", "time_maa_g"});
    model.Vectors(att, {"time_decay"});
    model.Add(att + "time_maa_w1", {kWidth, 5 * kRank});
    model.Add(att + "time_maa_w2", {5, kRank, kWidth});
    model.Add(att + "time_decay_w1", {kWidth, kRank});
    model.Add(att + "time_decay_w2", {kRank, kWidth});
    model.Add(att + "time_faaaa", {kHeads, kHeadSize});
    model.Squares(att, {"gate"});
    model.Norm(att + "ln_x");
    model.Vectors(block + "ffn.", {"time_maa_k", "time_maa_r"});
    model.Squares(block + "ffn.", {"receptance"});
  }
  return model.arrays();
}

inline Arrays Rwkv7() {
  ModelBuilder model;
  for (int i = 0; i < kLayers; ++i) {
    const std::string block = BlockName(i), att = block + "att.";
    model.Block(block);
    model.Vectors(att, {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "w0", "a0", "k_k", "k_a"});
    for (const char* n : {"w", "a", "v", "g"}) {
      if (i == 0 && *n == 'v') continue;
      model.Add(att + n + "1", {kWidth, kRank});
      model.Add(att + n + "2", {kRank, kWidth});
    }
    if (i > 0) model.Vectors(att, {"v0"});
    model.Add(att + "r_k", {kHeads, kHeadSize});
    model.Norm(att + "ln_x");
    model.Vectors(block + "ffn.", {"x_k"});
  }
  return model.arrays();
}

/// The last two extents swapped.
inline Array Turned(const Array& a) {
  const Dim rows = a.shape[-2], columns = a.shape[-1];
  Array turned;
  for (int i = 0; i < a.shape.rank() - 2; ++i) turned.shape.Append(a.shape[i]);
  turned.shape.Append(columns);
  turned.shape.Append(rows);
  for (Dim m = 0; m < a.shape.size(); m += rows * columns) {
    for (Dim c = 0; c < columns; ++c) {
      for (Dim r = 0; r < rows; ++r) turned.values.push_back(a.values[m + r * columns + c]);
    }
  }
  return turned;
}

/// One behind the other, under another shape.
inline Array Joined(const std::vector<Array>& arrays, const Shape& shape) {
  Array joined{shape, {}};
  for (const Array& a : arrays) joined.values.insert(joined.values.end(), a.values.begin(), a.values.end());
  return joined;
}

inline Array Mapped(Array a, const Shape& shape, double (*map)(double)) {
  a.shape = shape;
  for (float& value : a.values) value = static_cast<float>(map(value));
  return a;
}

inline std::string FloatBytes(const Array& a) {
  return {reinterpret_cast<const char*>(a.values.data()), a.values.size() * sizeof(float)};
}

inline Extents ExtentsOf(const Shape& shape) {
  Extents extents;
  for (int i = shape.rank(); i-- > 0;) extents.push_back(static_cast<uint64_t>(shape[i]));
  return extents;
}

inline std::string Safetensors(const Arrays& arrays) {
  std::string header = "{", data;
  for (const auto& [name, a] : arrays) {
    const std::string bytes = FloatBytes(a);
    header +=
        fmt::format(R"({}"{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})",
                    header.size() > 1 ? "," : "", name, a.shape, data.size(), data.size() + bytes.size());
    data += bytes;
  }
  return SafetensorsFile(header + "}", data);
}

}  // namespace linnet
