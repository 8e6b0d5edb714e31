#include "infer/stop_filter.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace linnet {

StopFilter::StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {
  for (const std::string& stop : stops_) Check(!stop.empty(), "a stop string must not be empty");
}

size_t StopFilter::PossibleStart() const {
  size_t longest = 0;
  for (const std::string& stop : stops_) {
    size_t length = std::min(stop.size() - 1, held_.size());
    while (length > longest && !held_.ends_with(std::string_view{stop}.substr(0, length))) --length;
    longest = std::max(longest, length);
  }
  return longest;
}

std::string StopFilter::Push(std::string_view bytes) {
  if (stopped_) return "";
  held_ += bytes;
  size_t end = std::string::npos;
  for (const std::string& stop : stops_) end = std::min(end, held_.find(stop));
  stopped_ = end != std::string::npos;
  if (!stopped_) end = held_.size() - PossibleStart();
  std::string out = held_.substr(0, end);
  held_.erase(0, stopped_ ? std::string::npos : end);
  return out;
}

std::string StopFilter::Finish() { return std::exchange(held_, {}); }

}  // namespace linnet
