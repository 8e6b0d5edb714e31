// What depends on parameters alone, such as a decay or an eigenvalue, and is the same at every token.
#pragma once

#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "ops/tape.h"

namespace linnet {

/// A result of float32 parameters, which is kept while they have the same values, to the bit: comparing is
/// cheaper than computing, and whoever changes parameters need not say so. In training, where they change
/// with every step and gradients are asked for, nothing is kept. Any number of threads may ask.
template <class Result>
class Derived {
 public:
  /// compute(), or what it gave for these values of `parameters`; empty ones are ignored.
  template <class Compute>
  Result operator()(const std::vector<Tensor>& parameters, const Compute& compute) const {
    if (Tape::Training()) return compute();
    const std::lock_guard lock(kept_->mutex);
    if (!kept_->result || !kept_->IsOf(parameters)) {
      kept_->parameters.clear();
      for (const Tensor& t : parameters) kept_->parameters.push_back(t ? t.Clone() : t);
      kept_->result = compute();
    }
    return *kept_->result;
  }

 private:
  struct Kept {
    std::mutex mutex;
    std::vector<Tensor> parameters;
    std::optional<Result> result;

    bool IsOf(const std::vector<Tensor>& now) const {
      for (size_t i = 0; i < now.size(); ++i) {
        if (now[i] && std::memcmp(now[i].raw(), parameters[i].raw(), now[i].bytes()) != 0) return false;
      }
      return true;
    }
  };
  std::unique_ptr<Kept> kept_ = std::make_unique<Kept>();
};

}  // namespace linnet
