// What a layer of ROSA remembers: the values of all tokens seen, and the automaton of their keys.
#pragma once

#include "nn/batch.h"
#include "nn/params.h"
#include "ops/ops.h"

namespace linnet::models {

/// Tokens that the models with ROSA remember unless chosen.
inline constexpr Dim kRosaContext = 1024;

class RosaPast {
 public:
  /// Room for `context` tokens of `width` channels, `bits` of which are a symbol.
  RosaPast(const Params& p, Dim width, int bits, Dim context)
      : bits_(bits),
        nodes_(p.State("nodes", {width / bits, ops::RosaNodes(context), ops::RosaNodeSize(bits)})),
        cursors_(p.State("cursors", {width / bits, ops::kRosaCursor})),
        values_(p.State("values", {width / bits, context})),
        seen_(p.State("seen", {1})) {}

  Tensor operator()(const RosaInputs& in, bool unmatched_is_zero, const Batch& batch,
                    const State& state) const {
    return ops::Rosa(in, bits_, unmatched_is_zero, batch, {state[nodes_], state[cursors_], state[values_]},
                     state[seen_]);
  }

 private:
  int bits_;
  StateVar nodes_, cursors_, values_, seen_;
};

}  // namespace linnet::models
