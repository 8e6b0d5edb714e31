#include "formats/ggml.h"

namespace linnet {

GgmlSize SizeOfGgml(std::span<const uint64_t> extents, DType type, const std::string& named) {
  const DTypeTraits& traits = Traits(type);
  Check(!extents.empty() && extents.size() <= 4, "{} has {} extents; linnet's tensors have one to four",
        named, extents.size());
  int64_t values = 1, bytes = 0;
  bool fits = true;
  for (uint64_t extent : extents) {
    Check(extent > 0, "{} has an extent of 0", named);
    fits =
        fits && extent <= INT64_MAX && !__builtin_mul_overflow(values, static_cast<int64_t>(extent), &values);
  }
  // Four bytes a value: what it takes once it is decoded.
  int64_t decoded = 0;
  fits = fits && !__builtin_mul_overflow(values, int64_t{sizeof(float)}, &decoded) &&
         !__builtin_mul_overflow(values / traits.values_per_block, traits.bytes_per_block, &bytes);
  Check(fits, "{} has more values than any memory", named);
  Check(static_cast<int64_t>(extents[0]) % traits.values_per_block == 0,
        "{} has rows of {} values, which are no whole blocks of {}", named, extents[0],
        traits.values_per_block);
  GgmlSize size{{}, static_cast<uint64_t>(bytes)};
  for (size_t i = extents.size(); i-- > 0;) size.shape.Append(static_cast<Dim>(extents[i]));
  return size;
}

}  // namespace linnet
