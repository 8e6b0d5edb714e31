// How fast each channel of each layer forgets. A channel's state is multiplied by its decay d with every
// token:
//   RWKV-4, 5, 6   d = exp(-exp(time_decay))                    a channel or, in RWKV-5.0 and 5.1, a head
//   each RWKV-7    d = exp(-e^(-1/2) sigmoid(w0))
// In RWKV-6 and 7 the input moves it from token to token; this is what it is moved from.
#pragma once

#include <vector>

#include "formats/checkpoint.h"
#include "nn/params.h"

namespace linnet {

/// A list a layer, of its channels in order; no layer if there are no such parameters. Throws Error, naming
/// the file and the tensor, if one of them is not of numbers.
std::vector<std::vector<double>> Decays(const Checkpoint& checkpoint);
std::vector<std::vector<double>> Decays(const ParamStore& params);

}  // namespace linnet
