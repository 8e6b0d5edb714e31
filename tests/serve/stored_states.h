// States for the tests of stores: all that a state has follows from one number, so that two of them mixed up
// are found.
#pragma once

#include <algorithm>
#include <string>
#include <tuple>

#include "serve/state_store.h"

namespace linnet {

inline constexpr const char* kModel = "0123456789abcdef";

inline Tensor Filled(const Shape& shape, float value) {
  Tensor tensor = Tensor::Empty(shape);
  for (Dim i = 0; i < tensor.size(); ++i) tensor.data()[i] = value + static_cast<float>(i % 7);
  return tensor;
}

inline Snapshot SnapshotOf(int number, Dim width = 64) {
  const auto value = static_cast<float>(number);
  return {{Filled({width}, value), Filled({4, width, width}, value + 0.5f)}, Filled({256}, -value), number};
}

inline StoredState StateOf(int number, const std::string& client, const std::string& id) {
  StoredState stored;
  stored.id = id;
  stored.client = client;
  stored.parent = "parent" + std::to_string(number);
  stored.title = "Title \"" + std::to_string(number) + "\" \xC3\xA9";
  stored.messages = R"([{"role":"user","content":")" + std::to_string(number) + "\"}]";
  stored.variant = R"({"lora":"","state":""})";
  stored.key = "key" + std::to_string(number);
  stored.reply = "{\"number\":" + std::to_string(number) + "}";
  stored.created = 1700000000 + number;
  stored.tokens = number;
  stored.bytes = 1000 + number;
  return stored;
}

inline bool Same(const Tensor& a, const Tensor& b) {
  if (!a || !b) return !a && !b;
  return a.shape() == b.shape() && std::equal(a.data(), a.data() + a.size(), b.data());
}

inline bool Same(const Snapshot& a, const Snapshot& b) {
  return a.tokens == b.tokens && Same(a.logits, b.logits) &&
         std::equal(a.variables.begin(), a.variables.end(), b.variables.begin(), b.variables.end(),
                    [](const Tensor& x, const Tensor& y) { return Same(x, y); });
}

inline bool Same(const StoredState& a, const StoredState& b) {
  const auto all = [](const StoredState& s) {
    return std::tie(s.id, s.client, s.parent, s.session, s.title, s.messages, s.variant, s.key, s.reply,
                    s.created, s.tokens, s.bytes);
  };
  return all(a) == all(b);
}

}  // namespace linnet
