// The JSON of the server's APIs; its definition (nlohmann/json.hpp) is included by .cc files alone.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace linnet {

using Json = nlohmann::ordered_json;

}  // namespace linnet
