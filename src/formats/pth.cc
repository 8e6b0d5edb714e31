#include "formats/pth.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "formats/pth_container.h"
#include "formats/relayout.h"

namespace linnet {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxDepth = 32;

/// What a tensor's bytes are: part of a storage, each axis with a stride in elements.
struct Layout {
  const std::byte* data = nullptr;
  std::array<int64_t, 4> strides{};
  bool contiguous = true;
};

bool IsScalar(const PickleValue& value) {
  return value.Is(Kind::kBool) || value.Is(Kind::kInt) || value.Is(Kind::kFloat) || value.Is(Kind::kString);
}

std::string ScalarText(const PickleValue& value) {
  if (value.Is(Kind::kBool)) return value.boolean() ? "true" : "false";
  if (value.Is(Kind::kInt)) return fmt::format("{}", value.integer());
  if (value.Is(Kind::kFloat)) return fmt::format("{}", value.real());
  return std::string(value.text());
}

bool IsTensor(const PickleValue& value) {
  return value.IsCall(Callee::kRebuildTensor) || value.IsCall(Callee::kRebuildParameter);
}

/// The dict of the model itself: `top`, or an entry of it where a trainer has put more beside (a step, an
/// optimizer).
PickleValue ModelOf(const PickleValue& top) {
  const auto& items = top.items();
  for (size_t i = 1; i < items.size(); i += 2) {
    if (IsTensor(items[i])) return top;
  }
  for (std::string_view name : {"model", "state_dict", "module"}) {
    for (size_t i = 1; i < items.size(); i += 2) {
      if (items[i].Is(Kind::kDict) && items[i - 1].Is(Kind::kString) && items[i - 1].text() == name)
        return items[i];
    }
  }
  return top;
}

class PthCheckpoint final : public Checkpoint {
 public:
  PthCheckpoint(const MappedFile& file, const PthContainer& container)
      : Checkpoint(file.path(), file.bytes().size()), file_(file), container_(&container) {
    const PickleValue& top = container.pickle.top;
    Check(top.Is(Kind::kDict), "{}: does not hold a dict of tensors; save the model's state_dict()",
          path_.string());
    budget_ = 4 * container.pickle.bytes;
    const PickleValue model = ModelOf(top);
    if (&model.items() != &top.items()) AddScalars(top);
    AddDict(model, "", 0);
    Check(!entries_.empty(), "{}: holds no tensors", path_.string());
    container_ = nullptr;  // the tensors' places are known now
  }

  std::string format() const override { return "pth"; }

  Tensor Load(const std::string& name) const override {
    const size_t i = IndexOf(name);
    const Entry& entry = entries_[i];
    const Layout& layout = layouts_[i];
    if (layout.contiguous) return InPlaceOrCopied(file_, layout.data, entry);
    Tensor copy = Tensor::Empty(entry.shape, entry.dtype);
    CopyStrided(layout.data, layout.strides, copy);
    return copy;
  }

  void Forget(const std::string& name) const override {
    const size_t i = IndexOf(name);
    if (layouts_[i].contiguous) file_.Forget({layouts_[i].data, entries_[i].bytes()});
  }

 private:
  /// Guards memory against a small pickle that reaches the same dict or key in very many ways. A pickle
  /// spends more bytes on an honest tensor than it is charged here.
  void Charge(size_t bytes) {
    Check(bytes <= budget_, "{}: expands to far more names than it has bytes for: not believed",
          path_.string());
    budget_ -= bytes;
  }

  void AddScalars(const PickleValue& dict) {
    const auto& items = dict.items();
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (IsScalar(items[i + 1])) AddLeaf(items[i + 1], Joined("", items[i]));
    }
  }

  void AddDict(const PickleValue& dict, const std::string& prefix, int depth) {
    Check(depth < kMaxDepth, "{}: its dicts are nested more than {} deep", path_.string(), kMaxDepth);
    const auto& items = dict.items();
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const PickleValue& value = items[i + 1];
      const std::string name = Joined(prefix, items[i]);
      if (value.Is(Kind::kDict)) {
        AddDict(value, name + ".", depth + 1);
      } else {
        AddLeaf(value, name);
      }
    }
  }

  std::string Joined(const std::string& prefix, const PickleValue& key) {
    constexpr size_t kPerEntry = 32;
    Check(key.Is(Kind::kString) || key.Is(Kind::kInt),
          "{}: a dict has a key that is neither text nor an integer", path_.string());
    Charge(kPerEntry + prefix.size() + (key.Is(Kind::kString) ? key.text().size() : 0));
    return prefix + ScalarText(key);
  }

  void AddLeaf(const PickleValue& value, const std::string& name) {
    if (IsScalar(value)) {
      Charge(value.Is(Kind::kString) ? value.text().size() : 0);
      metadata_[name] = ScalarText(value);
    } else if (IsTensor(value)) {
      AddTensor(value, name);
    }
  }

  void AddTensor(PickleValue call, const std::string& name) {
    if (call.IsCall(Callee::kRebuildParameter)) call = Arguments(call, name, 1)[0];
    Check(call.IsCall(Callee::kRebuildTensor), "{} is a parameter without a tensor", Named(name));
    // storage, offset, sizes, strides, requires_grad, hooks
    const auto& arguments = Arguments(call, name, 4);
    const Storage storage = StorageOf(arguments[0], name);
    const auto sizes = Numbers(arguments[2], name), strides = Numbers(arguments[3], name);
    Check(sizes.size() == strides.size(), "{} has {} extents but {} strides", Named(name), sizes.size(),
          strides.size());
    Check(arguments[1].Is(Kind::kInt) && arguments[1].integer() >= 0, "{} has no valid offset", Named(name));
    AddLayout(name, storage, arguments[1].integer(), sizes, strides);
  }

  struct Storage {
    DType dtype;
    std::span<const std::byte> bytes;
    int64_t elements() const { return static_cast<int64_t>(bytes.size()) / Traits(dtype).bytes_per_block; }
  };

  /// From the id ("storage", class, key, device, elements), behind which streams have a None. The device does
  /// not matter: the bytes are in the file.
  Storage StorageOf(const PickleValue& value, const std::string& name) const {
    const bool persistent = value.Is(Kind::kPersistent) && value.items()[0].Is(Kind::kTuple);
    Check(persistent && value.items()[0].items().size() >= 5, "{} has no storage", Named(name));
    const auto& id = value.items()[0].items();
    Check(id.size() == 5 || (id.size() == 6 && id[5].Is(Kind::kNone)),
          "{} lies in a part of a storage, as torch wrote before version 0.4; load and save it again",
          Named(name));
    const bool valid = id[0].Is(Kind::kString) && id[0].text() == "storage" && id[1].Is(Kind::kGlobal) &&
                       id[1].global().callee == Callee::kStorage && id[2].Is(Kind::kString) &&
                       id[4].Is(Kind::kInt);
    Check(valid, "{} has a malformed storage", Named(name));
    const std::string_view key = id[2].text().substr(0, 256);
    const auto bytes = container_->storage(key);
    Check(bytes.has_value(), "{} has its values in {}{}, which is not in the file", Named(name),
          container_->place, key);
    const Storage storage{id[1].global().dtype, *bytes};
    Check(id[4].integer() >= 0 && id[4].integer() <= storage.elements(),
          "{} has its values in {}{}, which should have {} elements but has {} bytes", Named(name),
          container_->place, key, id[4].integer(), storage.bytes.size());
    return storage;
  }

  const std::vector<PickleValue>& Arguments(const PickleValue& call, const std::string& name,
                                            size_t at_least) const {
    const auto& arguments = call.items()[1].items();
    Check(arguments.size() >= at_least, "{} is built from {} arguments, {} are needed", Named(name),
          arguments.size(), at_least);
    return arguments;
  }

  /// A tuple of at most four numbers, or torch.Size of one.
  std::vector<int64_t> Numbers(PickleValue value, const std::string& name) const {
    if (value.IsCall(Callee::kSize)) value = Arguments(value, name, 1)[0];
    Check(value.Is(Kind::kTuple), "{} has no valid shape", Named(name));
    Check(value.items().size() <= 4, "{} has rank {}; linnet's tensors have at most four extents",
          Named(name), value.items().size());
    std::vector<int64_t> numbers;
    for (const PickleValue& item : value.items()) {
      Check(item.Is(Kind::kInt) && item.integer() >= 0, "{} has a shape or stride that is not a count",
            Named(name));
      numbers.push_back(item.integer());
    }
    return numbers;
  }

  void AddLayout(const std::string& name, const Storage& storage, int64_t offset,
                 const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides) {
    const int64_t available = storage.elements();
    int64_t last = offset, elements = 1, expected_stride = 1;  // `last`: the position of the last element
    bool fits = true, empty = false;
    Layout layout;
    Entry entry{name, {}, storage.dtype};
    for (size_t i = sizes.size(); i-- > 0;) {
      int64_t span = 0;
      const int64_t extent = std::max<int64_t>(sizes[i], 1);
      fits = fits && !__builtin_mul_overflow(elements, extent, &elements) &&
             !__builtin_mul_overflow(extent - 1, strides[i], &span) &&
             !__builtin_add_overflow(last, span, &last);
      empty = empty || sizes[i] == 0;
      layout.contiguous = layout.contiguous && (extent == 1 || strides[i] == expected_stride);
      expected_stride = elements;
      layout.strides[i] = strides[i];
    }
    fits = fits && (empty ? offset <= available && elements <= INT64_MAX / 16 : last < available);
    Check(fits, "{} reaches beyond its storage of {} elements", Named(name), available);
    // Strides of 0 make a tensor of any size from one value; nobody's weights are like that.
    Check(empty || elements <= available, "{} repeats the values of its storage; save a contiguous copy",
          Named(name));
    for (int64_t size : sizes) entry.shape.Append(size);
    layout.contiguous = layout.contiguous || empty;
    layout.data = storage.bytes.data() + offset * Traits(storage.dtype).bytes_per_block;
    CheckTotal(entry);
    layouts_.push_back(layout);
    Add(std::move(entry));
  }

  /// Tensors may share a storage, but not so often that loading all of them would fill the memory from a
  /// small file.
  void CheckTotal(const Entry& entry) {
    constexpr uint64_t kMaxSharing = 16;
    total_bytes_ += static_cast<uint64_t>(entry.shape.size() * Traits(entry.dtype).bytes_per_block);
    Check(total_bytes_ <= kMaxSharing * file_bytes(),
          "{} and those before it share storages too often for a file of {} bytes", Named(entry.name),
          file_bytes());
  }

  std::string Named(const std::string& name) const {
    return fmt::format("{}: the tensor {}", path_.string(), name);
  }

  MappedFile file_;
  const PthContainer* container_;  // while the constructor runs
  std::vector<Layout> layouts_;    // beside entries_
  size_t budget_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Checkpoint> OpenPth(const MappedFile& file) {
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  return std::make_unique<PthCheckpoint>(file,
                                         IsPthStream(text) ? ReadPthStream(file) : ReadPthArchive(file));
}

}  // namespace linnet
