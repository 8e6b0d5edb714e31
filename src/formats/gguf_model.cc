#include "formats/gguf_model.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "formats/gguf.h"
#include "formats/names.h"
#include "formats/relayout.h"

namespace linnet {
namespace {

// -- Tensors

/// A tensor of the file: what it is made of, and how.
struct Piece {
  std::vector<size_t> sources;  // positions in the published contents; more than one if fused
  Relayout how;                 // what a reader has to undo
};

Shape LaidOut(const Shape& shape, const Piece& piece) {
  switch (piece.how) {
    case Relayout::kVector:
    case Relayout::kHeads:
      return {shape.size()};
    case Relayout::kPart:
      return {static_cast<Dim>(piece.sources.size()), 1, 1, shape.size()};
    case Relayout::kTransposed:
      break;
    default:
      return shape;
  }
  if (shape.rank() == 2) return {shape[1], shape[0]};
  return {shape[0], shape[2], shape[1]};
}

Tensor Fused(const Contents& published, const Piece& piece, const Checkpoint::Entry& entry) {
  const Tensor fused = Tensor::Empty(entry.shape, entry.dtype);
  auto* to = static_cast<std::byte*>(fused.raw());
  for (size_t source : piece.sources) {
    const Tensor part = published.load(source);
    std::memcpy(to, part.raw(), part.bytes());
    to += part.bytes();
  }
  return fused;
}

Tensor Made(const Contents& published, const Piece& piece, const Checkpoint::Entry& entry) {
  if (piece.how == Relayout::kPart) return Fused(published, piece, entry);
  const Tensor tensor = published.load(piece.sources[0]);
  return piece.how == Relayout::kTransposed ? Turned(tensor).Reshape(entry.shape)
                                            : tensor.Reshape(entry.shape);
}

/// Reads the published contents by name.
class Published {
 public:
  Published(const std::filesystem::path& path, const GgufModel& model) : path_(path), model_(model) {
    const auto& entries = model.published.entries;
    for (size_t i = 0; i < entries.size(); ++i) index_[entries[i].name] = i;
  }

  const Checkpoint::Entry& Entry(const std::string& name) const {
    return model_.published.entries[Index(name)];
  }
  size_t Index(const std::string& name) const {
    const auto found = index_.find(name);
    Check(found != index_.end(), "{}: cannot be written: the model has no {}", path_.string(), name);
    return found->second;
  }
  bool Has(const std::string& name) const { return index_.contains(name); }
  /// The tensors that are stored as one called `name`, in order; the first is entry `first`.
  std::vector<size_t> PartsWith(size_t first, const std::string& name, const Dialect& dialect) const {
    const auto count = static_cast<size_t>(StoredNameOf(dialect, EntryName(first))->rule->count);
    std::vector<size_t> parts(count, SIZE_MAX);
    for (size_t i = 0; i < model_.published.entries.size(); ++i) {
      const auto stored = StoredNameOf(dialect, EntryName(i));
      if (stored && stored->name == name) parts[static_cast<size_t>(stored->rule->index)] = i;
    }
    Check(std::ranges::find(parts, SIZE_MAX) == parts.end(),
          "{}: cannot be written: a block lacks some of the {} mixing vectors that {} is one of",
          path_.string(), count, EntryName(first));
    return parts;
  }
  const std::string& EntryName(size_t i) const { return model_.published.entries[i].name; }
  /// Extent `i` of a tensor.
  uint32_t Extent(const std::string& name, int i) const {
    return static_cast<uint32_t>(Entry(name).shape[i]);
  }

 private:
  const std::filesystem::path& path_;
  const GgufModel& model_;
  std::map<std::string, size_t> index_;
};

/// The contents of the file; `model` must outlive them.
Contents ContentsOf(const std::filesystem::path& path, const GgufModel& model, const Published& published) {
  const Dialect& dialect = *GgufDialect(model.architecture);
  Contents contents;
  std::vector<Piece> pieces;
  const auto add = [&](const std::string& name, const Piece& piece) {
    const Checkpoint::Entry& first = model.published.entries[piece.sources[0]];
    contents.entries.push_back({name, LaidOut(first.shape, piece), first.dtype});
    pieces.push_back(piece);
  };
  for (size_t i = 0; i < model.published.entries.size(); ++i) {
    const std::string& name = model.published.entries[i].name;
    const auto stored = StoredNameOf(dialect, name);
    Check(stored.has_value(),
          "{}: cannot be written: llama.cpp's {} has no place for the tensor {}; write a .safetensors",
          path.string(), model.architecture, name);
    const NameRule& rule = *stored->rule;
    if (rule.how != Relayout::kPart) {
      add(stored->name, {{i}, rule.how});
    } else if (rule.index == 0) {  // the others go with it
      add(stored->name, {published.PartsWith(i, stored->name, dialect), rule.how});
    }
    // What llama.cpp wants in the first layer and does not use.
    constexpr std::string_view kRate = "blk.0.time_mix_a";
    if (stored->name.starts_with(kRate)) {
      add("blk.0.time_mix_v" + stored->name.substr(kRate.size()), {{i}, rule.how});
    }
  }
  contents.load = [&model, pieces, entries = contents.entries](size_t i) {
    return Made(model.published, pieces[i], entries[i]);
  };
  return contents;
}

// -- Values

/// llama.cpp's numbers for files of mostly one type, as its own quantiser gives them to these mixes; Q4_K_M
/// and Q5_K_M among them.
constexpr std::pair<DType, uint32_t> kFileTypes[] = {
    {DType::kF32, 0},   {DType::kF16, 1},   {DType::kQ4_0, 2}, {DType::kQ4_1, 3},
    {DType::kQ8_0, 7},  {DType::kQ5_0, 8},  {DType::kQ5_1, 9}, {DType::kQ4_K, 15},
    {DType::kQ5_K, 17}, {DType::kQ6_K, 18}, {DType::kBf16, 32}};

uint32_t FileType(const Contents& contents) {
  std::map<DType, Dim> values;
  for (const auto& entry : contents.entries) values[entry.dtype] += entry.shape.size();
  const DType most =
      std::ranges::max_element(values, {}, [](const auto& item) { return item.second; })->first;
  return std::ranges::find(kFileTypes, most, [](const auto& row) { return row.first; })->second;
}

uint32_t Layers(const Published& published) {
  uint32_t layers = 0;
  while (published.Has(fmt::format("blocks.{}.ln1.weight", layers))) ++layers;
  return layers;
}

void AddSizes(const GgufModel& model, const Published& published, GgufValues& values) {
  const auto add = [&](const char* key, GgufValue value) {
    values.push_back({model.architecture + "." + key, std::move(value)});
  };
  const std::string att = "blocks.0.att.";
  const uint32_t layers = Layers(published);
  add("context_length", uint32_t{1 << 20});  // there is no limit; llama.cpp's converter says this
  add("embedding_length", published.Extent("emb.weight", 1));
  add("block_count", layers);
  add("feed_forward_length", published.Extent("blocks.0.ffn.key.weight", 0));
  add("attention.head_count", uint32_t{0});  // must be there
  add("attention.layer_norm_epsilon", 1e-5f);
  add("token_shift_count", uint32_t{2});
  if (model.architecture == "rwkv6") {
    add("wkv.head_size", published.Extent(att + "time_faaaa", 1));
    add("rescale_every_n_layers", uint32_t{0});
    add("time_mix_extra_dim", published.Extent(att + "time_maa_w1", 1) / 5);
    add("time_decay_extra_dim", published.Extent(att + "time_decay_w1", 1));
    return;
  }
  add("wkv.head_size", published.Extent(att + "r_k", 1));
  add("attention.decay_lora_rank", published.Extent(att + "w1", 1));
  add("attention.iclr_lora_rank", published.Extent(att + "a1", 1));
  add("attention.value_residual_mix_lora_rank",
      layers > 1 ? published.Extent("blocks.1.att.v1", 1) : published.Extent(att + "a1", 1));
  add("attention.gate_lora_rank", published.Extent(att + "g1", 1));
}

void AddVocabulary(const std::filesystem::path& path, const GgufModel& model, const Published& published,
                   GgufValues& values) {
  constexpr int32_t kNormal = 1, kControl = 3, kUnused = 5;
  const auto size = published.Extent("emb.weight", 0);
  Check(!model.vocabulary.empty(),
        "{}: cannot be written: GGUF holds the model's vocabulary, and none is known; give --vocab FILE",
        path.string());
  Check(model.vocabulary.size() <= size,
        "{}: cannot be written: the vocabulary has {} tokens, the model only {}", path.string(),
        model.vocabulary.size(), size);
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::optional<uint32_t> blank_line;
  for (uint32_t id = 0; id < size; ++id) {
    const std::string bytes = id < model.vocabulary.size() ? model.vocabulary[id] : "";
    if (bytes == "\n\n") blank_line = id;
    if (id == 0) {  // ends texts, whatever byte it may stand for
      tokens.push_back(bytes.empty() ? "<s>" : EscapedToken(bytes));
      types.push_back(kControl);
    } else {
      tokens.push_back(bytes.empty() ? fmt::format("[PAD{}]", id) : EscapedToken(bytes));
      types.push_back(bytes.empty() ? kUnused : kNormal);
    }
  }
  const std::string prefix = "tokenizer.ggml.";
  values.push_back({prefix + "model", std::string("rwkv")});
  values.push_back({prefix + "tokens", std::move(tokens)});
  values.push_back({prefix + "token_type", std::move(types)});
  values.push_back({prefix + "bos_token_id", uint32_t{0}});
  values.push_back({prefix + "eos_token_id", uint32_t{0}});
  // A turn of a chat ends with a blank line.
  if (blank_line) values.push_back({prefix + "eot_token_id", *blank_line});
  values.push_back({prefix + "add_bos_token", false});
  values.push_back({prefix + "add_eos_token", false});
}

/// llama.cpp's keys that say more than a file's tensors and vocabulary do, if they are strings.
constexpr std::string_view kTelling[] = {
    "general.name",     "general.author",       "general.basename",       "general.description",
    "general.finetune", "general.license",      "general.license.name",   "general.license.link",
    "general.repo_url", "general.organization", "general.size_label",     "general.source.url",
    "general.url",      "general.version",      "tokenizer.chat_template"};

bool IsTelling(std::string_view key) { return std::ranges::find(kTelling, key) != std::end(kTelling); }

/// The others of llama.cpp's keys.
bool IsImplied(std::string_view key) {
  constexpr std::string_view kGroups[] = {"general.", "tokenizer.", "rwkv6.", "rwkv7.", "split."};
  return !IsTelling(key) &&
         std::ranges::any_of(kGroups, [&](std::string_view group) { return key.starts_with(group); });
}

/// Every byte is a token, which llama.cpp's tokenizer can do, too; but the first one also ends texts.
bool AreBytes(const std::vector<std::string>& vocabulary) {
  if (vocabulary.size() != 256) return false;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    if (vocabulary[i] != std::string(1, static_cast<char>(i))) return false;
  }
  return true;
}

void AddMetadata(const GgufModel& model, GgufValues& values) {
  auto metadata = model.published.metadata;
  metadata.try_emplace("general.name", model.name);
  if (AreBytes(model.vocabulary)) metadata["tokenizer"] = "bytes";
  for (const auto& [key, text] : metadata) {
    if (!IsImplied(key)) values.push_back({IsTelling(key) ? key : std::string(kOwnGgufKeys) + key, text});
  }
}

}  // namespace

bool IsFloat32InGguf(const std::string& name) {
  constexpr std::string_view kFactors[] = {
      ".att.w1",           ".att.w2", ".att.time_maa_w1", ".att.time_maa_w2", ".att.time_decay_w1",
      ".att.time_decay_w2"};
  return std::ranges::any_of(kFactors, [&](std::string_view factor) { return name.ends_with(factor); });
}

void CheckGgufHas(const std::string& architecture, const std::filesystem::path& path) {
  Check(
      architecture == "rwkv6" || architecture == "rwkv7",
      "{}: llama.cpp, whose format GGUF is, runs rwkv6 and rwkv7, and this model is {}; write a .safetensors",
      path.string(), architecture);
}

void WriteGgufModel(const std::filesystem::path& path, const GgufModel& model) {
  CheckGgufHas(model.architecture, path);
  const Published published(path, model);
  const Contents contents = ContentsOf(path, model, published);
  GgufValues values = {{"general.architecture", model.architecture},
                       {"general.type", std::string("model")},
                       {"general.file_type", FileType(contents)},
                       {"general.quantization_version", uint32_t{2}},
                       {"general.alignment", uint32_t{32}}};
  AddMetadata(model, values);
  AddSizes(model, published, values);
  AddVocabulary(path, model, published, values);
  WriteGguf(path, values, contents);
}

std::map<std::string, std::string> MetadataFromGguf(std::map<std::string, std::string> metadata) {
  std::erase_if(metadata, [](const auto& item) { return IsImplied(item.first); });
  return metadata;
}

std::string EscapedToken(const std::string& bytes) {
  // Python puts bytes in single quotes, or in double ones if that saves escapes.
  const bool escape_quotes = bytes.find('\'') != std::string::npos && bytes.find('"') != std::string::npos;
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\' || (c == '\'' && escape_quotes)) {
      text += {'\\', c};
    } else if (c == '\t') {
      text += "\\t";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c == '\r') {
      text += "\\r";
    } else if (byte < 0x20 || byte >= 0x7F) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace linnet
