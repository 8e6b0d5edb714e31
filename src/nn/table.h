// Tables: the parameters of which a token needs one row. Embeddings are; RWKV-7a and 7b have further ones in
// every layer. What a token costs, in bytes and operations, counts them apart.
#pragma once

#include "nn/params.h"

namespace linnet {

inline bool IsTable(const Parameter& parameter) { return parameter.name.ends_with("emb.weight"); }

}  // namespace linnet
