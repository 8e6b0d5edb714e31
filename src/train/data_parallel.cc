#include "train/data_parallel.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/backend.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::span<std::byte> Bytes(const Tensor& t) { return {static_cast<std::byte*>(t.raw()), t.bytes()}; }

/// How many handles the parameter and its gradient have; steps of a tape add to them.
long Holders(const Tensor& t) { return t.use_count() + t.gradient().use_count(); }

}  // namespace

/// A bucket of gradients on its way to its owner.
struct DataParallel::Journey {
  Tensor sum;                 // the gradients of this process and, at the owner, of those added so far
  std::vector<bool> arrived;  // pieces that have a gradient
  Tensor incoming;            // at the owner: those of rank `from`
  int from = 0;
  std::unique_ptr<Transfer> transfer;  // null when all is done
};

DataParallel::DataParallel(Communicator& others, TrainableModel& weights)
    : others_(others),
      parameters_(weights.parameters()),
      buckets_(CutIntoBuckets(parameters_, others.size())),
      never_(parameters_.size()) {
  for (const Bucket& bucket : buckets_) {
    first_.push_back(share_.size());
    if (bucket.owner != others_.rank()) continue;
    for (const Piece& piece : bucket.pieces) {
      const Parameter& whole = parameters_[piece.parameter];
      const Tensor slice = Elements(whole.tensor, piece.begin, piece.size());
      slice.Track();
      const Tensor& masters = weights.masters[piece.parameter];
      const Tensor master = masters ? Elements(masters, piece.begin, piece.size()).Clone() : Tensor();
      share_.push_back(
          {{whole.name, slice, whole.role, whole.lr_scale}, master, piece.begin, whole.tensor.shape()});
    }
  }
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].tensor.tracked()) weights.masters[i] = Tensor();
  }
}

DataParallel::~DataParallel() = default;

void DataParallel::Begin() {
  holders_.clear();
  earlier_.clear();
  for (const Parameter& p : parameters_) {
    const bool tracked = p.tensor.tracked();
    holders_.push_back(tracked ? Holders(p.tensor) : 0);
    earlier_.push_back(tracked ? p.tensor.grad() : Tensor());
    p.tensor.ClearGrad();
  }
  taken_.assign(parameters_.size(), false);
  sent_.assign(parameters_.size(), false);
  gradients_.assign(parameters_.size(), {});
  journeys_.clear();
  settled_ = 0;
  traffic_ = {};
}

/// Whether the parameter's gradient is final; it is then taken out of the parameter. A recomputed block's
/// parameters are held by no step until their block runs again, and have no gradient before.
bool DataParallel::Taken(size_t parameter) {
  const Tensor& tensor = parameters_[parameter].tensor;
  if (taken_[parameter]) return true;
  if (Holders(tensor) > holders_[parameter]) return false;
  if (!tensor.grad()) return never_[parameter] && !earlier_[parameter];
  taken_[parameter] = true;
  Tensor& gradient = gradients_[parameter];
  gradient = tensor.grad();
  tensor.ClearGrad();
  const bool shared = gradient.use_count() > 1;  // with another tensor's, while this one will be added to
  if (shared) gradient = gradient.Clone();
  Tensor& earlier = earlier_[parameter];
  if (earlier) Backend::For(Device::kCpu).AddTo(earlier, gradient);
  earlier = Tensor();
  return true;
}

void DataParallel::SendFinal() {
  // The buckets leave in their order, which is the same on all processes.
  for (; journeys_.size() < buckets_.size(); Launch(journeys_.size())) {
    const auto& pieces = buckets_[journeys_.size()].pieces;
    if (!std::ranges::all_of(pieces, [&](const Piece& piece) { return Taken(piece.parameter); })) break;
  }
  for (size_t i = settled_; i < journeys_.size(); ++i) {
    if (Advance(journeys_[i], /*wait=*/false) && i == settled_) ++settled_;
  }
}

/// Sends a bucket to its owner or, there, begins to receive the others'.
void DataParallel::Launch(size_t index) {
  const Bucket& bucket = buckets_[index];
  Journey& journey = journeys_.emplace_back();
  const Piece& first = bucket.pieces[0];
  const bool packed = bucket.pieces.size() > 1 || !gradients_[first.parameter];
  journey.sum = packed ? Tensor::Empty({bucket.size()})
                       : Elements(gradients_[first.parameter], first.begin, first.size());
  Dim at = 0;
  for (const Piece& piece : bucket.pieces) {
    Tensor& gradient = gradients_[piece.parameter];
    journey.arrived.push_back(static_cast<bool>(gradient));
    sent_[piece.parameter] = true;
    float* to = journey.sum.data() + at;
    if (packed && gradient) std::memcpy(to, gradient.data() + piece.begin, piece.size() * sizeof(float));
    if (packed && !gradient) std::fill(to, to + piece.size(), 0.0f);
    if (piece.end == parameters_[piece.parameter].tensor.size()) gradient = Tensor();
    at += piece.size();
  }
  if (bucket.owner != others_.rank()) {
    journey.transfer = others_.Send(bucket.owner, Bytes(journey.sum), static_cast<int>(index));
    traffic_.sent_bytes += static_cast<double>(journey.sum.bytes());
    return;
  }
  journey.from = others_.rank() == 0 ? 1 : 0;
  journey.incoming = Tensor::Empty(journey.sum.shape());
  journey.transfer = others_.Receive(journey.from, Bytes(journey.incoming), static_cast<int>(index));
}

/// Goes on with a journey; true when it is over.
bool DataParallel::Advance(Journey& journey, bool wait) {
  while (journey.transfer) {
    if (wait) journey.transfer->Wait();
    if (!wait && !journey.transfer->Done()) return false;
    journey.transfer.reset();
    if (!journey.incoming) {  // sent
      journey.sum = Tensor();
      break;
    }
    Backend::For(Device::kCpu).AddTo(journey.incoming, journey.sum);
    journey.from += journey.from + 1 == others_.rank() ? 2 : 1;
    if (journey.from >= others_.size()) {
      journey.incoming = Tensor();
      break;
    }
    const auto index = static_cast<int>(&journey - journeys_.data());
    journey.transfer = others_.Receive(journey.from, Bytes(journey.incoming), index);
  }
  return true;
}

void DataParallel::Finish() {
  const Clock::time_point start = Clock::now();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& tensor = parameters_[i].tensor;
    if (!tensor.tracked() || (!tensor.grad() && !earlier_[i])) continue;
    if (!tensor.grad()) std::swap(tensor.gradient()->value, earlier_[i]);
    Check(!taken_[i] && !sent_[i], "[data parallel] a gradient of {} came after it was sent",
          parameters_[i].name);
    never_[i] = false;
    Check(Taken(i), "[data parallel] a tape still holds {}", parameters_[i].name);
  }
  while (journeys_.size() < buckets_.size()) Launch(journeys_.size());
  for (Journey& journey : journeys_) Advance(journey, /*wait=*/true);
  Settle();
  traffic_.waited_seconds = SecondsSince(start);
}

/// The sums become the gradients of the share.
void DataParallel::Settle() {
  const bool any = std::ranges::find(taken_, true) != taken_.end();
  if (any) never_ = taken_, never_.flip();
  for (size_t b = 0; b < buckets_.size(); ++b) {
    if (buckets_[b].owner != others_.rank()) continue;
    Dim at = 0;
    for (size_t i = 0; i < buckets_[b].pieces.size(); ++i) {
      const Dim size = buckets_[b].pieces[i].size();
      const Tensor& slice = share_[first_[b] + i].parameter.tensor;
      slice.gradient()->value = journeys_[b].arrived[i] ? Elements(journeys_[b].sum, at, size) : Tensor();
      at += size;
    }
  }
  journeys_.clear();
}

namespace {

/// The values of a bucket as one message.
class Parcel {
 public:
  Parcel(const Bucket& bucket, const std::vector<Parameter>& parameters) {
    size_t bytes = 0;
    for (const Piece& piece : bucket.pieces) {
      slices_.push_back(Elements(parameters[piece.parameter].tensor, piece.begin, piece.size()));
      bytes += slices_.back().bytes();
    }
    if (slices_.size() > 1) packed_.resize(bytes);
  }
  std::span<std::byte> bytes() { return slices_.size() > 1 ? std::span(packed_) : Bytes(slices_[0]); }
  void Pack() {
    ForEach([](std::byte* values, std::byte* packed, size_t n) { std::memcpy(packed, values, n); });
  }
  void Unpack() {
    ForEach([](std::byte* values, std::byte* packed, size_t n) { std::memcpy(values, packed, n); });
  }

 private:
  template <class Body>
  void ForEach(const Body& body) {
    if (slices_.size() == 1) return;
    std::byte* at = packed_.data();
    for (const Tensor& slice : slices_) {
      body(static_cast<std::byte*>(slice.raw()), at, slice.bytes());
      at += slice.bytes();
    }
  }

  std::vector<Tensor> slices_;
  std::vector<std::byte> packed_;  // empty where a single slice is the message
};

}  // namespace

void DataParallel::SendValues() {
  const Clock::time_point start = Clock::now();
  std::vector<Parcel> parcels;
  std::vector<std::vector<std::unique_ptr<Transfer>>> transfers(buckets_.size());
  for (size_t b = 0; b < buckets_.size(); ++b) {
    Parcel& parcel = parcels.emplace_back(buckets_[b], parameters_);
    const int owner = buckets_[b].owner, label = static_cast<int>(b);
    if (owner != others_.rank()) {
      transfers[b].push_back(others_.Receive(owner, parcel.bytes(), label));
      continue;
    }
    parcel.Pack();
    for (int to = 0; to < others_.size(); ++to) {
      if (to == owner) continue;
      transfers[b].push_back(others_.Send(to, parcel.bytes(), label));
      traffic_.sent_bytes += static_cast<double>(parcel.bytes().size());
    }
  }
  for (size_t b = 0; b < buckets_.size(); ++b) {
    for (const auto& transfer : transfers[b]) transfer->Wait();
    if (buckets_[b].owner != others_.rank()) parcels[b].Unpack();
  }
  traffic_.values_seconds = SecondsSince(start);
}

/// The whole of a parameter's tensor at rank 0, an empty one elsewhere.
Tensor DataParallel::Gather(size_t parameter, const std::vector<Tensor>& mine) const {
  const bool here = others_.rank() == 0;
  const Tensor whole = here ? Tensor::Empty(parameters_[parameter].tensor.shape()) : Tensor();
  for (size_t b = 0; b < buckets_.size(); ++b) {
    const Bucket& bucket = buckets_[b];
    for (size_t i = 0; i < bucket.pieces.size(); ++i) {
      const Piece& piece = bucket.pieces[i];
      if (piece.parameter != parameter) continue;
      if (bucket.owner == others_.rank()) {
        const Tensor& values = mine[first_[b] + i];
        if (!here) others_.Send(0, Bytes(values))->Wait();
        if (here) std::memcpy(whole.data() + piece.begin, values.raw(), values.bytes());
      } else if (here) {
        others_.Receive(bucket.owner, Bytes(Elements(whole, piece.begin, piece.size())))->Wait();
      }
    }
  }
  return whole;
}

namespace {

constexpr int64_t kEnd = -1;  // of serving

/// Rank 0 tells the others a number.
int64_t Announce(Communicator& others, int64_t number) {
  others.Broadcast(0, std::as_writable_bytes(std::span(&number, 1)));
  return number;
}

}  // namespace

Contents DataParallel::Whole(const std::vector<std::pair<std::string, size_t>>& listed,
                             const Columns& columns,
                             const std::map<std::string, std::string>& metadata) const {
  Contents contents{{}, {}, metadata};
  std::vector<std::pair<size_t, size_t>> places;  // of the entries: parameter and column
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    if (!p.tensor.tracked()) continue;
    for (const auto& [name, column] : listed) {
      contents.entries.push_back({name + p.name, p.tensor.shape(), DType::kF32});
      places.emplace_back(i, column);
    }
  }
  contents.load = [this, places, columns](size_t entry) {
    const auto [parameter, column] = places[entry];
    Announce(others_, static_cast<int64_t>(parameter * columns.size() + column));
    return Gather(parameter, columns[column]);
  };
  return contents;
}

void DataParallel::Serve(const Columns& columns) const {
  const auto count = static_cast<int64_t>(columns.size());
  for (int64_t asked; (asked = Announce(others_, 0)) != kEnd;) Gather(asked / count, columns[asked % count]);
}

void DataParallel::EndServing() const { Announce(others_, kEnd); }

}  // namespace linnet
