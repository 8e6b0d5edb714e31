// Images as sequences: the pixels of a digit one after the other, 256 shades as tokens, its class after the
// last. smnist reads them row by row, psmnist in one fixed random order (Le et al., arXiv:1504.00941). The
// last 5,000 training images are the validation part.
#include <algorithm>

#include "base/check.h"
#include "base/permutation.h"
#include "formats/idx.h"
#include "lab/kinds.h"

namespace linnet::lab {
namespace {

namespace fs = std::filesystem;

struct Images {
  int64_t count = 0;
  IdxArray pixels, classes;
};

IdxArray ReadOne(const fs::path& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    if (fs::exists(folder / (name + ending))) return ReadIdx(folder / (name + ending));
  }
  Fail("{}: there is no {} or {}.gz in this folder; give one with the four MNIST files", folder.string(),
       name, name);
}

Images ReadImages(const fs::path& folder, const std::string& prefix) {
  Images images{0, ReadOne(folder, prefix + "-images-idx3-ubyte"),
                ReadOne(folder, prefix + "-labels-idx1-ubyte")};
  const std::vector<int64_t>& e = images.pixels.extents;
  Check(e.size() == 3 && e[1] == 28 && e[2] == 28, "{}: {}: the images must be of 28 x 28 pixels",
        folder.string(), prefix);
  Check(images.classes.extents == std::vector<int64_t>{e[0]}, "{}: {}: there must be a label for each image",
        folder.string(), prefix);
  Check(std::ranges::all_of(images.classes.values, [](uint8_t c) { return c < 10; }),
        "{}: {}: labels must lie between 0 and 9", folder.string(), prefix);
  images.count = e[0];
  return images;
}

class Pixels : public Task {
 public:
  Pixels(const TaskArguments& a, bool permuted) : side_(a.at("side")) {
    Check(28 % side_ == 0, "the tasks of pixels: side must divide 28 but is {}", side_);
    Check(a.files.size() == 1, "the tasks of pixels take one folder with --data, {} were given",
          a.files.size());
    learnt_ = ReadImages(a.files[0], "train");
    test_ = ReadImages(a.files[0], "t10k");
    Check(learnt_.count > kHeldOut, "{}: has {} training images; more than {} are needed", a.files[0],
          learnt_.count, kHeldOut);
    const Permutation order(length(), /*seed=*/1);
    for (int64_t i = 0; i < length(); ++i) order_.push_back(permuted ? order(i) : i);
  }

  int64_t vocab() const override { return 256; }
  int64_t length() const override { return side_ * side_; }
  int64_t held_out() const override { return std::min(kHeldOut, test_.count); }

  Example Draw(Part part, uint64_t seed, int64_t index) const override {
    const int64_t count = learnt_.count - kHeldOut;
    if (part == Part::kTest) return Image(test_, index % test_.count);
    if (part == Part::kValidation) return Image(learnt_, count + index % kHeldOut);
    const Permutation order(count, seed * 1000003 + static_cast<uint64_t>(index / count));
    return Image(learnt_, order(index % count));
  }

 private:
  static constexpr int64_t kHeldOut = 5000;

  /// Squares of pixels are averaged to the wanted side.
  Example Image(const Images& images, int64_t index) const {
    const int64_t block = 28 / side_;
    const uint8_t* pixels = images.pixels.values.data() + index * 28 * 28;
    Example example;
    for (int64_t place : order_) {
      const int64_t row = place / side_ * block, column = place % side_ * block;
      int64_t sum = 0;
      for (int64_t r = 0; r < block; ++r) {
        for (int64_t c = 0; c < block; ++c) sum += pixels[(row + r) * 28 + column + c];
      }
      example.Append(static_cast<int>(sum / (block * block)));
    }
    example.targets.back() = images.classes.values[index];
    return example;
  }

  int64_t side_;
  Images learnt_, test_;
  std::vector<int64_t> order_;
};

TaskKind KindOf(const char* name, const char* what, std::unique_ptr<Task> (*make)(const TaskArguments&)) {
  return {name,
          what,
          {{"side", 28, 1, 28, "pixels of a row: 28, or 14 or 7 for averages of squares"}},
          32,
          "a folder with the four MNIST files",
          make};
}

}  // namespace

TaskKind PixelsKind() {
  return KindOf(
      "smnist", "Tell handwritten digits, pixel by pixel (sequential MNIST)",
      [](const TaskArguments& a) -> std::unique_ptr<Task> { return std::make_unique<Pixels>(a, false); });
}

TaskKind PermutedPixelsKind() {
  return KindOf(
      "psmnist", "Tell handwritten digits, the pixels in one fixed random order (permuted MNIST)",
      [](const TaskArguments& a) -> std::unique_ptr<Task> { return std::make_unique<Pixels>(a, true); });
}

}  // namespace linnet::lab
