// What is embedded in place of the page where it could not be built.
#include "serve/assets.h"

namespace linnet {

std::span<const WebAsset> WebAssets() { return {}; }

}  // namespace linnet
