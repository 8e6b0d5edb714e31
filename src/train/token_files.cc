#include "train/token_files.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/permutation.h"
#include "formats/binidx.h"
#include "text/tokenizer.h"
#include "train/sample_order.h"

namespace linnet {
namespace {

/// What both ways have in common: the files, and which documents are held out.
class TokenFiles : public Dataset {
 public:
  TokenFiles(Binidx data, const DataOptions& options) : data_(std::move(data)), options_(options) {
    const int64_t documents = data_.documents();
    const auto held_out =
        static_cast<int64_t>(std::ceil(static_cast<double>(documents) * options.val_fraction));
    training_documents_ = documents - held_out;
    const std::string name = data_.files().front().path().string();
    if (options.val_fraction == 1) return;
    Check(
        training_documents_ > 0,
        "{}: has {} documents, of which --val-fraction {} leaves none to learn from; give 0 to hold none out",
        name, documents, options.val_fraction);
    Check(data_.CountLearnt(0, training_tokens()) > 0, "{}: its mask leaves nothing to learn", name);
  }

  std::vector<Samples> HeldOut(int64_t max_tokens) const override {
    std::vector<std::pair<int64_t, int64_t>> pieces;  // document, first token
    for (int64_t d = training_documents_; d < data_.documents(); ++d) {
      for (int64_t at = 0; at < data_.length(d); at += options_.ctx) {
        if (LearntIn(d, at) > 0) pieces.emplace_back(d, at);
      }
    }
    const auto all = static_cast<int64_t>(pieces.size());
    const double part =
        std::min(1.0, static_cast<double>(max_tokens) / static_cast<double>(held_out_tokens()));
    const auto count = static_cast<int64_t>(std::ceil(part * static_cast<double>(all)));
    std::vector<Samples> passes;
    for (int64_t i = 0; i < count; ++i) {
      const auto [document, at] = pieces[i * all / count];
      if (passes.empty() || !Fits(passes.back(), document, at)) passes.emplace_back();
      Append(document, at, /*after_end=*/true, passes.back());
    }
    return passes;
  }

  std::vector<File> files() const override {
    std::vector<File> files;
    for (const MappedFile& file : data_.files()) {
      files.push_back({std::filesystem::absolute(file.path()), static_cast<int64_t>(file.bytes().size())});
    }
    return files;
  }
  int64_t training_tokens() const override { return data_.begin(training_documents_); }
  int64_t held_out_tokens() const override { return data_.tokens() - training_tokens(); }
  std::string chat_template() const override { return data_.chat_template(); }

 protected:
  const Binidx& data() const { return data_; }
  const DataOptions& options() const { return options_; }
  int64_t training_documents() const { return training_documents_; }

  /// Tokens of the piece of a document that begins with token `at`.
  int64_t PieceLength(int64_t document, int64_t at) const {
    return std::min(options_.ctx, data_.length(document) - at);
  }
  int64_t LearntIn(int64_t document, int64_t at) const {
    const int64_t begin = data_.begin(document) + at;
    return data_.CountLearnt(begin, begin + PieceLength(document, at));
  }
  bool Fits(const Samples& pass, int64_t document, int64_t at) const {
    return static_cast<int64_t>(pass.targets.size()) + PieceLength(document, at) <=
           options_.batch * options_.ctx;
  }

  /// Appends a piece as a sequence: its tokens are the targets. Before the first of a document stands an
  /// end-of-text token or, unless `after_end`, nothing: then it is an input only.
  void Append(int64_t document, int64_t at, bool after_end, Samples& pass) const {
    const int64_t skipped = at == 0 && !after_end ? 1 : 0;
    const int64_t count = PieceLength(document, at) - skipped;
    if (count <= 0) return;
    std::vector<int> ids(count + 1, Tokenizer::kEndOfText);
    const int64_t first = data_.begin(document) + at + skipped;  // target
    const bool none_before = first == data_.begin(document);
    data_.Read(first - (none_before ? 0 : 1), std::span(ids).subspan(none_before ? 1 : 0));
    AppendSequence(ids, first, pass);
  }

  /// `ids` are those from one before `first` on.
  void AppendSequence(const std::vector<int>& ids, int64_t first, Samples& pass) const {
    pass.batch.Append({ids.begin(), ids.end() - 1}, pass.batch.sequences());
    for (size_t i = 1; i < ids.size(); ++i) {
      pass.targets.push_back(data_.Learnt(first + static_cast<int64_t>(i) - 1) ? ids[i] : -1);
    }
  }

 private:
  Binidx data_;
  DataOptions options_;
  int64_t training_documents_;
};

class PackedDocuments : public TokenFiles {
 public:
  using TokenFiles::TokenFiles;

  std::vector<Samples> Draw(int64_t /*step*/, DataPosition& position) const override {
    Order order = OrderOf(position.epoch);
    std::vector<Samples> passes(options().accumulate);
    for (Samples& pass : passes) {
      while (true) {
        const int64_t document = order(position.document);
        const int64_t at = position.token;
        if (at < data().length(document) && LearntIn(document, at) > 0) {
          if (!Fits(pass, document, at)) break;
          Append(document, at, (position.epoch + position.document) % 2 == 0, pass);
        }
        Advance(document, position, order);
      }
    }
    return passes;
  }
  bool equal_sequences() const override { return false; }

 private:
  using Order = Permutation;

  Order OrderOf(int64_t epoch) const {
    return {training_documents(), options().seed + static_cast<uint64_t>(epoch) * 0x9E3779B97F4A7C15u};
  }

  void Advance(int64_t document, DataPosition& position, Order& order) const {
    position.token += options().ctx;
    if (position.token < data().length(document)) return;
    position.token = 0;
    if (++position.document < training_documents()) return;
    position.document = 0;
    order = OrderOf(++position.epoch);
  }
};

class TokenStream : public TokenFiles {
 public:
  TokenStream(Binidx data, const DataOptions& options)
      : TokenFiles(std::move(data), options), order_(training_tokens(), options.ctx) {}

  std::vector<Samples> Draw(int64_t step, DataPosition& /*position*/) const override {
    std::vector<Samples> passes(options().accumulate);
    int64_t sample = step * options().accumulate * options().batch;
    for (Samples& pass : passes) {
      for (int64_t i = 0; i < options().batch; ++i, ++sample) {
        std::vector<int> ids(options().ctx + 1);
        const int64_t begin = order_.Offset(sample);
        data().Read(begin, ids);
        AppendSequence(ids, begin + 1, pass);
      }
    }
    return passes;
  }
  bool equal_sequences() const override { return true; }

 private:
  SampleOrder order_;
};

}  // namespace

std::unique_ptr<Dataset> OpenTokenFiles(const std::string& name, const DataOptions& options) {
  Binidx data = Binidx::Open(name);
  data.CheckIds(options.ids, "--tokenizer " + options.tokenizer);
  if (options.pack == "stream" && options.val_fraction < 1) {
    return std::make_unique<TokenStream>(std::move(data), options);
  }
  return std::make_unique<PackedDocuments>(std::move(data), options);
}

}  // namespace linnet
