#include "lab/sizing.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/check.h"

namespace linnet::lab {
namespace {

constexpr Dim kStep = 4;  // between widths, and inner widths, that are tried
constexpr Dim kWidest = 16384;

/// Tries widths and counts what they make.
class Search {
 public:
  Search(const Contestant& contestant, int64_t layers, int64_t vocab, int64_t length)
      : contestant_(contestant), base_(contestant.chosen) {
    base_.try_emplace("layers", layers);
    base_["vocab"] = vocab;
    Sizes probe = base_;
    probe.try_emplace("width", 64);
    probe.erase("head_size");
    const Sizes complete = contestant.architecture->complete_sizes(probe);
    has_heads_ = complete.contains("head_size");
    has_ffn_ = complete.contains("ffn");
    // Those that remember a fixed number of tokens: as many as they need.
    if (complete.contains("context")) base_.try_emplace("context", length);
    Check(!base_.contains("head_size") || has_heads_, "{}: {} has no heads; leave head_size out",
          contestant.name, contestant.architecture->title);
  }

  bool may_choose_ffn() const { return has_ffn_ && !base_.contains("ffn"); }

  /// The model of this width; none if it cannot have it.
  std::optional<SizedModel> Make(Dim width, Dim ffn = 0) const {
    Sizes sizes = base_;
    sizes["width"] = width;
    if (ffn > 0) sizes["ffn"] = ffn;
    if (has_heads_ && !sizes.contains("head_size")) {
      const Dim head_size = HeadSize(width);
      if (head_size == 0) return std::nullopt;
      sizes["head_size"] = head_size;
    } else if (has_heads_ && width % sizes["head_size"] != 0) {
      return std::nullopt;
    }
    return Complete(sizes);
  }

  SizedModel Complete(const Sizes& sizes) const {
    SizedModel model{contestant_.architecture->complete_sizes(sizes), 0};
    model.parameters =
        NewModel(*contestant_.architecture, model.sizes, RandomMatrices{DType::kF32}).params->count();
    return model;
  }

  const Sizes& base() const { return base_; }

 private:
  /// The divisor of the width that is nearest to 32 among those from 16 to 64; of small ones the width.
  static Dim HeadSize(Dim width) {
    if (width <= 16) return width;
    for (Dim size : {32, 28, 36, 24, 40, 20, 44, 48, 16, 52, 56, 60, 64}) {
      if (width % size == 0) return size;
    }
    return 0;
  }

  const Contestant& contestant_;
  Sizes base_;
  bool has_heads_ = false, has_ffn_ = false;
};

double Off(const SizedModel& model, int64_t wanted) {
  return std::abs(static_cast<double>(model.parameters - wanted)) / static_cast<double>(wanted);
}

/// The largest width with no more parameters than wanted, or the smallest that there is.
SizedModel WidestWithin(const Search& search, int64_t wanted) {
  std::optional<SizedModel> best;
  Dim low = 1, high = 1;  // in steps; those up to low fit, as parameters grow with the width
  const auto fits = [&](Dim steps) {
    for (Dim width = steps * kStep; width < (steps + 16) * kStep; width += kStep) {
      const auto model = search.Make(width);
      if (!model) continue;
      if (model->parameters <= wanted || !best) best = model;
      return model->parameters <= wanted;
    }
    return false;
  };
  while (high * kStep < kWidest && fits(high)) low = high, high *= 2;
  while (high - low > 1) {
    const Dim middle = (low + high) / 2;
    (fits(middle) ? low : high) = middle;
  }
  fits(low);
  Check(best.has_value(), "[sizing] no width is possible");
  return *best;
}

/// The nearest of the widths around, and of inner widths of the channel mix if that is not near enough.
SizedModel Nearest(const Search& search, int64_t wanted) {
  const SizedModel within = WidestWithin(search, wanted);
  SizedModel best = within;
  const auto consider = [&](const std::optional<SizedModel>& model) {
    if (model && Off(*model, wanted) < Off(best, wanted)) best = *model;
  };
  const Dim width = within.sizes.at("width");
  for (Dim w = width + kStep; w <= width + 4 * kStep; w += kStep) consider(search.Make(w));
  if (Off(best, wanted) <= kMostOff || !search.may_choose_ffn()) return best;
  Dim low = kStep, high = 64 * width;
  while (high - low > kStep) {
    const Dim middle = (low + high) / 2 / kStep * kStep;
    const auto model = search.Make(width, middle);
    consider(model);
    (model->parameters <= wanted ? low : high) = middle;
  }
  return best;
}

}  // namespace

Contestant ParseContestant(const std::string& name) {
  Contestant contestant{name, nullptr, {}};
  size_t end = std::min(name.find(':'), name.size());
  contestant.architecture = &FindArchitecture(name.substr(0, end));
  CheckTrainable(*contestant.architecture);
  while (end < name.size()) {
    const size_t begin = end + 1;
    end = std::min(name.find(':', begin), name.size());
    const std::string word = name.substr(begin, end - begin);
    const size_t equals = word.find('=');
    Dim value = 0;
    const char* last = word.data() + word.size();
    const bool split = equals != std::string::npos && equals > 0;
    const auto parsed = std::from_chars(split ? word.data() + equals + 1 : last, last, value);
    Check(split && parsed.ec == std::errc() && parsed.ptr == last && value >= 0,
          "--arch {}: '{}' is no size, such as layers=2", name, word);
    const std::string size = word.substr(0, equals);
    const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
    Check(std::ranges::all_of(size, plain), "--arch {}: '{}' is no size, such as layers=2", name, word);
    Check(size != "vocab", "--arch {}: the vocabulary is the task's; leave vocab out", name);
    contestant.chosen[size] = value;
  }
  return contestant;
}

SizedModel SizeToFit(const Contestant& contestant, int64_t layers, int64_t vocab, int64_t length,
                     int64_t parameters) {
  const Search search(contestant, layers, vocab, length);
  SizedModel model;
  if (parameters == 0 || contestant.chosen.contains("width")) {
    Check(contestant.chosen.contains("width"),
          "{}: without --params the width must be chosen, as in {}:width=64", contestant.name,
          contestant.name);
    const auto made = search.Make(contestant.chosen.at("width"));
    model = made ? *made : search.Complete(search.base());  // which says what does not fit
  } else {
    model = Nearest(search, parameters);
  }
  Check(
      parameters == 0 || Off(model, parameters) <= kMostOff,
      "--params {}: {} with {} layers comes closest with {} parameters at a width of {}, which is more than "
      "{:.0f}% off; give other --params or fewer --layers",
      parameters, contestant.name, model.sizes.at("layers"), model.parameters, model.sizes.at("width"),
      100 * kMostOff);
  const auto context = model.sizes.find("context");
  Check(context == model.sizes.end() || context->second >= length,
        "{}: sees {} tokens at most, a sequence of the task has {}; leave context out", contestant.name,
        context == model.sizes.end() ? 0 : context->second, length);
  return model;
}

}  // namespace linnet::lab
