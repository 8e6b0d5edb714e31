// The architectures whose recurrence is diagonal or nearly so, and what leads to them, for the registry. Each
// is a file of this folder.
#pragma once

#include "nn/model.h"

namespace linnet::models {

Architecture Qrnn();
Architecture Sru();
Architecture GilrLstm();
Architecture MinimalRnn();
Architecture Lru();
Architecture S4();
Architecture S4d();
Architecture S5();

}  // namespace linnet::models
