// RWKV-8 with ROSA, as its demos have it: what the registry needs to recognise and build it.
#pragma once

#include "nn/model.h"

namespace linnet::models {

Architecture Rwkv8();
/// ROSA without an RWKV.
Architecture RosaOnly();

/// Throws Error unless symbols have 1 or 4 bits, of which the width is a multiple.
void CheckBits(const Sizes& sizes);

}  // namespace linnet::models
