// The architectures beside RWKV, for the registry. Each is a file of this folder.
#pragma once

#include "nn/model.h"

namespace linnet::models {

Architecture Transformer();
Architecture Rnn();
Architecture Gru();
Architecture Lstm();
Architecture LinearTransformer();
Architecture AftWithoutBias();
Architecture AftFull();
Architecture AftLocal();
Architecture AftConvolution();
Architecture SpikeGpt();
Architecture Rwkv2();

}  // namespace linnet::models
