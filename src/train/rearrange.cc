#include "train/rearrange.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/permutation.h"

namespace linnet {
namespace {

/// Appends one document, a part at a time.
void Copy(const Binidx& data, int64_t document, BinidxWriter& writer) {
  constexpr int64_t kPart = 1 << 18;
  const int64_t end = data.begin(document + 1);
  std::vector<int> ids;
  std::vector<uint8_t> learnt;
  for (int64_t at = data.begin(document); at < end; at += kPart) {
    ids.resize(std::min(kPart, end - at));
    data.Read(at, ids);
    learnt.clear();
    for (size_t i = 0; data.has_mask() && i < ids.size(); ++i) {
      learnt.push_back(data.Learnt(at + static_cast<int64_t>(i)));
    }
    writer.Append(ids, learnt);
  }
  writer.EndDocument();
}

/// A type for the tokens of all parts.
TokenType CommonType(const std::vector<Binidx>& parts) {
  TokenType type = parts.front().type();
  for (const Binidx& part : parts) {
    if (part.type() == type) continue;
    const Binidx::Ids ids = part.IdRange();
    type = type == TokenType::kU16 && ids.least >= 0 && ids.most <= UINT16_MAX ? type : TokenType::kI32;
  }
  return type;
}

std::string CommonTemplate(const std::vector<Binidx>& parts) {
  const Binidx* first = nullptr;
  for (const Binidx& part : parts) {
    if (!part.has_mask()) continue;
    if (first == nullptr) first = &part;
    Check(part.chat_template() == first->chat_template(),
          "{}: its conversations are written with the template {}, those of {} with {}; prepare them alike",
          part.files().back().path().string(), part.chat_template(), first->files().back().path().string(),
          first->chat_template());
  }
  return first == nullptr ? "" : first->chat_template();
}

}  // namespace

void MergeData(const std::vector<Binidx>& parts, const std::filesystem::path& out,
               const DocumentsDone& done) {
  BinidxWriter writer(out, CommonType(parts), CommonTemplate(parts));
  int64_t documents = 0;
  for (const Binidx& part : parts) documents += part.documents();
  for (const Binidx& part : parts) {
    for (int64_t d = 0; d < part.documents(); ++d) {
      Copy(part, d, writer);
      done(writer.documents(), documents);
    }
  }
  writer.Commit();
}

void ShuffleData(const Binidx& data, const std::filesystem::path& out, uint64_t seed,
                 const DocumentsDone& done) {
  BinidxWriter writer(out, data.type(), data.chat_template());
  const Permutation order(data.documents(), seed);
  for (int64_t i = 0; i < data.documents(); ++i) {
    Copy(data, order(i), writer);
    done(i + 1, data.documents());
  }
  writer.Commit();
}

void SplitData(const Binidx& data, const std::filesystem::path& training_name,
               const std::filesystem::path& held_out_name, double held_out, uint64_t seed,
               const DocumentsDone& done) {
  const int64_t documents = data.documents();
  const auto count = static_cast<int64_t>(std::ceil(held_out * static_cast<double>(documents)));
  Check(count > 0 && count < documents, "--held-out {} takes {} of {} documents; each side needs one",
        held_out, count, documents);
  BinidxWriter training(training_name, data.type(), data.chat_template());
  BinidxWriter validation(held_out_name, data.type(), data.chat_template());
  const Permutation order(documents, seed);
  for (int64_t d = 0; d < documents; ++d) {
    Copy(data, d, order(d) < count ? validation : training);
    done(d + 1, documents);
  }
  training.Commit();
  validation.Commit();
}

}  // namespace linnet
