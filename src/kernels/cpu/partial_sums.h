// Sums over rows that several threads share out: each part adds into a buffer of its own, and the buffers are
// added up in order, so the result depends on the number of parts but never on timing.
#pragma once

#include <initializer_list>
#include <vector>

#include "base/parallel.h"
#include "tensor/tensor.h"

namespace linnet {

class PartialSums {
 public:
  /// `targets` receive the sums (+=) at AddUp; the parts are as many as Parts(rows, grain).
  PartialSums(int64_t rows, int64_t grain, std::initializer_list<Tensor> targets)
      : PartialSums(rows, grain, std::vector<Tensor>(targets)) {}
  PartialSums(int64_t rows, int64_t grain, std::vector<Tensor> targets)
      : parts_(Parts(rows, grain)), targets_(std::move(targets)) {
    Dim width = 0;
    for (const Tensor& t : targets_) {
      offsets_.push_back(width);
      width += t.size();
    }
    // With one part the targets themselves take the sums.
    if (parts_ > 1) buffers_ = Tensor::Zeros({parts_, width});
  }

  int parts() const { return parts_; }

  /// Where `part` adds what belongs to target `index`.
  float* of(int part, int index) const {
    if (parts_ == 1) return targets_[index].data();
    return buffers_.data() + part * buffers_.dim(1) + offsets_[index];
  }

  void AddUp() const {
    if (parts_ == 1) return;
    for (size_t index = 0; index < targets_.size(); ++index) {
      float* sum = targets_[index].data();
      for (int part = 0; part < parts_; ++part) {
        const float* from = of(part, static_cast<int>(index));
        for (Dim i = 0; i < targets_[index].size(); ++i) sum[i] += from[i];
      }
    }
  }

 private:
  int parts_;
  std::vector<Tensor> targets_;
  std::vector<Dim> offsets_;
  Tensor buffers_;
};

}  // namespace linnet
