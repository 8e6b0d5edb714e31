#include "serve/snapshot_bytes.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <optional>

#include "base/hash.h"

namespace linnet {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

constexpr std::string_view kMagic = "LINSTATE";
constexpr uint32_t kVersion = 1;
constexpr int64_t kUnknown = -1;

struct Header {
  char magic[8];
  uint32_t version, variables;
  char fingerprint[16];
  int64_t tokens;
  uint64_t bytes;
  uint64_t checksum;
};
static_assert(sizeof(Header) == 56);

struct StoredShape {
  int64_t rank;
  int64_t extents[4];
};

template <class T>
std::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

uint64_t Checksum(const Header& header, std::string_view rest) {
  return Hash(BytesOf(header).substr(0, offsetof(Header, checksum)), Hash(rest));
}

StoredShape Stored(const Tensor& tensor) {
  StoredShape shape{kUnknown, {}};
  if (!tensor) return shape;
  shape.rank = tensor.shape().rank();
  std::copy(tensor.shape().begin(), tensor.shape().end(), shape.extents);
  return shape;
}

/// Reads what was packed, front to back.
class Unpacking {
 public:
  Unpacking(std::string_view bytes, const std::string& name) : rest_(bytes), name_(name) {}

  template <class T>
  T Take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, TakeBytes(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view TakeBytes(size_t count) {
    Check(count <= rest_.size(), "{}: is damaged: it ends in the middle", name_);
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  const std::string& name_;
};

/// Nothing where the tensor is not known. `left` is what there can be at most, in bytes.
std::optional<Shape> ReadShape(const StoredShape& stored, size_t left, const std::string& name) {
  const bool known = stored.rank != kUnknown;
  Check(!known || (stored.rank >= 0 && stored.rank <= 4), "{}: is damaged: a tensor of rank {}", name,
        stored.rank);
  const auto unused = std::begin(stored.extents) + (known ? stored.rank : 0);
  Check(std::all_of(unused, std::end(stored.extents), [](int64_t extent) { return extent == 0; }),
        "{}: is damaged: a tensor has more extents than its rank", name);
  if (!known) return std::nullopt;
  Shape shape;
  size_t most = left / sizeof(float);  // values that may still come
  for (int64_t i = 0; i < stored.rank; ++i) {
    const int64_t extent = stored.extents[i];
    Check(extent >= 1 && static_cast<uint64_t>(extent) <= most,
          "{}: is damaged: it has no room for the values of a tensor", name);
    most /= static_cast<size_t>(extent);
    shape.Append(extent);
  }
  Check(most >= 1, "{}: is damaged: it has no room for the values of a tensor", name);
  return shape;
}

Tensor ReadTensor(const std::optional<Shape>& shape, Unpacking& unpacking) {
  if (!shape) return {};
  const std::string_view values = unpacking.TakeBytes(static_cast<size_t>(shape->size()) * sizeof(float));
  Tensor tensor = Tensor::Empty(*shape);
  std::memcpy(tensor.raw(), values.data(), values.size());
  return tensor;
}

}  // namespace

std::string PackSnapshot(const Snapshot& snapshot, const std::string& fingerprint) {
  Header header{};
  Check(fingerprint.size() == sizeof header.fingerprint, "[state store] '{}' is no fingerprint of a model",
        fingerprint);
  kMagic.copy(header.magic, sizeof header.magic);
  fingerprint.copy(header.fingerprint, sizeof header.fingerprint);
  header.version = kVersion;
  header.variables = static_cast<uint32_t>(snapshot.variables.size());
  header.tokens = snapshot.tokens;

  std::vector<Tensor> tensors = snapshot.variables;
  tensors.push_back(snapshot.logits);
  header.bytes = sizeof header + tensors.size() * sizeof(StoredShape) + SnapshotBytes(snapshot);
  std::string bytes;
  bytes.reserve(header.bytes);
  bytes += BytesOf(header);
  for (const Tensor& tensor : tensors) bytes += BytesOf(Stored(tensor));
  for (const Tensor& tensor : tensors) {
    if (tensor) bytes.append(reinterpret_cast<const char*>(tensor.data()), tensor.bytes());
  }
  header.checksum = Checksum(header, std::string_view(bytes).substr(sizeof header));
  BytesOf(header).copy(bytes.data(), sizeof header);
  return bytes;
}

Snapshot UnpackSnapshot(std::string_view bytes, const std::string& fingerprint, const std::string& name) {
  Unpacking unpacking(bytes, name);
  const auto header = unpacking.Take<Header>();
  Check(std::string_view(header.magic, sizeof header.magic) == kMagic, "{}: is no stored state", name);
  Check(header.version == kVersion, "{}: is of version {}, this program reads {}", name, header.version,
        kVersion);
  Check(header.bytes == bytes.size() && header.checksum == Checksum(header, unpacking.rest()),
        "{}: is damaged: its checksum is not that of what it holds", name);
  Check(std::string_view(header.fingerprint, sizeof header.fingerprint) == fingerprint,
        "{}: is a state of another model", name);
  Check(header.tokens >= 0, "{}: is damaged: it has seen {} tokens", name, header.tokens);

  std::vector<std::optional<Shape>> shapes;
  Check(header.variables < unpacking.rest().size() / sizeof(StoredShape),
        "{}: is damaged: it has no room for {} variables", name, header.variables);
  for (uint32_t i = 0; i <= header.variables; ++i)
    shapes.push_back(ReadShape(unpacking.Take<StoredShape>(), bytes.size(), name));
  std::vector<Tensor> tensors;
  for (const auto& shape : shapes) tensors.push_back(ReadTensor(shape, unpacking));
  Check(unpacking.rest().empty(), "{}: is damaged: there is something after its end", name);
  Tensor logits = std::move(tensors.back());
  tensors.pop_back();
  return {std::move(tensors), std::move(logits), header.tokens};
}

int64_t SnapshotBytes(const Snapshot& snapshot) {
  size_t bytes = snapshot.logits ? snapshot.logits.bytes() : 0;
  for (const Tensor& tensor : snapshot.variables) bytes += tensor ? tensor.bytes() : 0;
  return static_cast<int64_t>(bytes);
}

}  // namespace linnet
