#include "train/prepare.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/file.h"
#include "base/parallel.h"
#include "formats/binidx.h"
#include "train/documents.h"

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr size_t kBlock = 1 << 20;
constexpr int kBlocksPerThread = 4;  // in a round: enough to even out that some take longer

struct Source {
  fs::path path;
  int64_t bytes;
  bool lines;  // a document a line
};

bool IsLines(const fs::path& path) { return path.extension() == ".jsonl"; }

std::vector<Source> FindSources(const std::vector<std::string>& inputs) {
  std::vector<Source> sources;
  const auto add = [&](const fs::path& path) {
    const auto bytes = static_cast<int64_t>(fs::file_size(path));
    if (bytes > 0) sources.push_back({path, bytes, IsLines(path)});
  };
  for (const std::string& input : inputs) {
    std::error_code error;
    if (!fs::is_directory(input, error)) {
      MappedFile{input};  // says what is wrong with it
      add(input);
      continue;
    }
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(input)) {
      const fs::path& path = entry.path();
      const bool text = IsLines(path) || path.extension() == ".txt" || path.extension() == ".md";
      if (text && entry.is_regular_file()) found.push_back(path);
    }
    Check(!found.empty(), "{}: there is no .jsonl, .txt or .md file in this folder", input);
    std::ranges::sort(found);
    for (const fs::path& path : found) add(path);
  }
  Check(!sources.empty(), "all files are empty: there is nothing to prepare");
  return sources;
}

/// The documents of a block, tokenised.
struct Encoded {
  std::vector<int> ids;
  std::vector<uint8_t> learnt;  // of each token; empty: all
  std::vector<size_t> ends;     // of documents, in tokens
  std::string error;
};

/// Whole lines of a file, or a whole file.
struct Block {
  const Source* source;
  MappedFile file;
  std::string_view text;
  Encoded encoded = {};
};

std::string_view TextOf(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

class Encoder {
 public:
  explicit Encoder(const PrepareOptions& options) : options_(options) {}

  void Encode(Block& block) const {
    Encoded& out = block.encoded;
    if (!block.source->lines) {
      Append({{{std::string(block.text), block.text.size()}}}, out);
      return;
    }
    std::string_view rest = block.text;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      try {
        for (const Document& document : ReadJsonLine(line, *options_.chat)) Append(document, out);
      } catch (const Error& error) {
        out.error = fmt::format("{}:{}: {}", block.source->path.string(), LineOf(block, line), error.what());
        return;
      }
    }
  }

 private:
  static int64_t LineOf(const Block& block, std::string_view line) {
    const std::string_view text = TextOf(block.file);
    return 1 + std::count(text.data(), line.data(), '\n');
  }

  void Append(const Document& document, Encoded& out) const {
    for (const Piece& piece : document.pieces) {
      const size_t before = out.ids.size();
      options_.tokenizer->EncodeSome(piece.text, false, out.ids);
      if (options_.mask && piece.learnt < piece.text.size()) Mask(piece, before, out);
      if (!out.learnt.empty()) out.learnt.resize(out.ids.size(), 1);
    }
    const bool end = document.end || !options_.mask;
    if (!end) out.learnt.resize(out.ids.size(), 1);
    out.ids.push_back(Tokenizer::kEndOfText);
    if (!end || !out.learnt.empty()) out.learnt.push_back(end ? 1 : 0);
    out.ends.push_back(out.ids.size());
  }

  /// Marks the tokens of a piece that begin in its first `learnt` bytes.
  void Mask(const Piece& piece, size_t before, Encoded& out) const {
    out.learnt.resize(before, 1);
    size_t at = 0;
    for (size_t i = before; i < out.ids.size(); ++i) {
      out.learnt.push_back(at < piece.learnt);
      if (at < piece.learnt) at += options_.tokenizer->Decode({&out.ids[i], 1}).size();
    }
  }

  const PrepareOptions& options_;
};

class Preparation {
 public:
  explicit Preparation(const PrepareOptions& options)
      : options_(options),
        sources_(FindSources(options.inputs)),
        encoder_(options),
        writer_(options.out, TokenTypeFor(options.tokenizer->vocab()), std::string(options.chat->name)) {
    for (const Source& source : sources_) total_ += source.bytes;
  }

  Prepared Run() {
    for (const Source& source : sources_) {
      if (!source.lines && source.bytes > static_cast<int64_t>(kBlock)) {
        Flush();
        WriteLongText(source);
      } else {
        const MappedFile file(source.path);
        CutIntoBlocks(source, file);
      }
      ++result_.files;
    }
    Flush();
    writer_.Commit();
    result_.documents = writer_.documents();
    result_.tokens = writer_.tokens();
    return result_;
  }

 private:
  void CutIntoBlocks(const Source& source, const MappedFile& file) {
    std::string_view rest = TextOf(file);
    while (!rest.empty()) {
      size_t size = rest.size();
      if (source.lines && size > kBlock) size = std::min(size - 1, rest.find('\n', kBlock)) + 1;
      blocks_.push_back({&source, file, rest.substr(0, size)});
      waiting_ += size;
      rest.remove_prefix(size);
      const size_t round = static_cast<size_t>(kBlocksPerThread) * Threads();
      // Many small files make one block's worth of work.
      if (waiting_ >= round * kBlock || blocks_.size() >= 256 * round) Flush();
    }
  }

  /// Tokenises what is waiting, and writes it.
  void Flush() {
    const auto count = static_cast<int64_t>(blocks_.size());
    if (count == 0) return;
    ParallelParts(count, static_cast<int>(count), [&](int, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        try {
          encoder_.Encode(blocks_[i]);
        } catch (const std::exception& error) {  // no memory
          blocks_[i].encoded.error = fmt::format("{}: {}", blocks_[i].source->path.string(), error.what());
        }
      }
    });
    for (Block& block : blocks_) {
      Check(block.encoded.error.empty(), "{}", block.encoded.error);
      Write(block.encoded);
      block.file.Forget(std::as_bytes(std::span(block.text)));
      Report(block.text.size());
    }
    blocks_.clear();
    waiting_ = 0;
  }

  void Write(const Encoded& encoded) {
    size_t begin = 0;
    for (size_t end : encoded.ends) {
      const auto part = [&](const auto& all) { return std::span(all).subspan(begin, end - begin); };
      writer_.Append(part(encoded.ids),
                     encoded.learnt.empty() ? std::span<const uint8_t>() : part(encoded.learnt));
      writer_.EndDocument();
      begin = end;
    }
    result_.learnt += encoded.learnt.empty() ? static_cast<int64_t>(encoded.ids.size())
                                             : std::ranges::count(encoded.learnt, 1);
  }

  /// A document that is a long file, piece by piece: where one ends depends on the one before.
  void WriteLongText(const Source& source) {
    const MappedFile file(source.path);
    const std::string_view text = TextOf(file);
    size_t at = 0, size = kBlock;
    std::vector<int> ids;
    while (at < text.size()) {
      const std::string_view piece = text.substr(at, size);
      const bool more = at + piece.size() < text.size();
      const size_t used = options_.tokenizer->EncodeSome(piece, more, ids);
      if (used == 0 && more) size *= 2;
      at += used;
      writer_.Append(ids);
      result_.learnt += static_cast<int64_t>(ids.size());
      ids.clear();
      Report(used);
    }
    writer_.Append(std::vector<int>{Tokenizer::kEndOfText});
    ++result_.learnt;
    writer_.EndDocument();
  }

  void Report(size_t bytes) {
    result_.bytes += static_cast<int64_t>(bytes);
    if (options_.on_progress) options_.on_progress(result_.bytes, total_);
  }

  const PrepareOptions& options_;
  std::vector<Source> sources_;
  Encoder encoder_;
  BinidxWriter writer_;
  std::vector<Block> blocks_;
  size_t waiting_ = 0;  // bytes of blocks_
  int64_t total_ = 0;
  Prepared result_;
};

}  // namespace

Prepared PrepareData(const PrepareOptions& options) { return Preparation(options).Run(); }

}  // namespace linnet
