// The page's files (web/), embedded in the binary by the build.
#pragma once

#include <span>
#include <string_view>

namespace linnet {

struct WebAsset {
  std::string_view path;  // "/index.html"
  std::string_view content_type;
  std::string_view etag;  // of the content, in quotes, as the header has it
  std::string_view bytes;
  std::string_view gzip;  // the same, compressed; empty where that is no shorter
};

/// By path, ascending; none where the page could not be built (no npm).
std::span<const WebAsset> WebAssets();

}  // namespace linnet
