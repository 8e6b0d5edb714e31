// StopFilter: ends a stream of text at the first of several stop strings, none of which ever shows in the
// output, not even in part: text that may be the start of one is held back until it is clear.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace linnet {

class StopFilter {
 public:
  /// Throws Error if a stop string is empty.
  explicit StopFilter(std::vector<std::string> stops);

  /// Takes the next bytes and returns those that are certainly not part of a stop string. Holds back fewer
  /// bytes than the longest stop string has.
  std::string Push(std::string_view bytes);
  /// Whether a stop string was met: what follows is dropped.
  bool stopped() const { return stopped_; }
  /// Number of bytes held back, which are the last ones pushed.
  size_t held() const { return held_.size(); }
  /// The stream ends: what was held back.
  std::string Finish();

 private:
  /// Bytes at the end of held_ that are the start of a stop string.
  size_t PossibleStart() const;

  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace linnet
