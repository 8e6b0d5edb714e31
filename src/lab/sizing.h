// Models of equal numbers of parameters: what a fair comparison begins with.
#pragma once

#include <map>
#include <string>

#include "nn/model.h"

namespace linnet::lab {

/// An architecture as it was asked for: "rwkv7", "rwkv7:layers=1:head_size=16".
struct Contestant {
  std::string name;  // as it was asked for
  const Architecture* architecture = nullptr;
  Sizes chosen;  // sizes that were asked for
};

/// Throws Error, listing the known ones, for an architecture that there is not, and for settings that are no
/// sizes. A name is also a folder's, so it has letters, digits, ':', '=', '_' and '-' alone.
Contestant ParseContestant(const std::string& name);

struct SizedModel {
  Sizes sizes;
  int64_t parameters = 0;
};

/// How far from the wanted number of parameters a model may be.
inline constexpr double kMostOff = 0.05;

/// The sizes, of `layers` blocks unless the contestant chose otherwise, whose parameters come closest to
/// `parameters`: the width is found and, where its steps are too coarse, the inner width of the channel mix.
/// With parameters == 0 the contestant's own sizes, which must then name a width. Throws Error, saying what
/// comes closest, if nothing is within kMostOff, and if the model cannot see `length` tokens: what has a
/// "context" gets one of that length, if none was chosen.
SizedModel SizeToFit(const Contestant& contestant, int64_t layers, int64_t vocab, int64_t length,
                     int64_t parameters);

}  // namespace linnet::lab
