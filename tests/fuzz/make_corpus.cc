// Writes the fuzzers' seeds: small files, sound ones and ones broken in one place each.   make_corpus FOLDER
#include "fuzz/make_corpus.h"

#include <cstdio>
#include <filesystem>
#include <numeric>

#include "formats/event_file.h"
#include "formats/event_reader.h"
#include "formats/pth_builder.h"
#include "formats/safetensors.h"

namespace linnet {

void Save(const std::filesystem::path& folder, const std::string& name, const std::string& text) {
  std::filesystem::create_directories(folder);
  WriteFile(folder / name, text);
}

namespace {

using std::string_literals::operator""s;

Tensor Counting(const Shape& shape, DType dtype) {
  const Tensor tensor = Tensor::Empty(shape, dtype);
  auto* bytes = static_cast<uint8_t*>(tensor.raw());
  std::iota(bytes, bytes + tensor.bytes(), uint8_t{1});
  return tensor;
}

void MakeSafetensors(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  WriteSafetensors(folder / "all_dtypes",
                   {{"f32", Counting({2, 3}, DType::kF32)},
                    {"bf16", Counting({4}, DType::kBf16)},
                    {"f16", Counting({1, 1, 2, 2}, DType::kF16)},
                    {"f64", Counting({2}, DType::kF64)},
                    {"i32", Counting({3}, DType::kI32)},
                    {"i64", Counting({}, DType::kI64)},
                    {"u8", Counting({5}, DType::kU8)},
                    {"empty", Counting({0, 7}, DType::kF32)}},
                   {{"format", "pt"}});
  const auto tensor = [](const std::string& name, const std::string& shape, const std::string& offsets) {
    return "\"" + name + R"(":{"dtype":"U8","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
  };
  const std::pair<const char*, std::string> headers[] = {
      {"empty_header", "{}"},
      {"one", "{" + tensor("a", "[4]", "[0,4]") + "}"},
      {"two_in_reverse", "{" + tensor("b", "[2]", "[2,4]") + "," + tensor("a", "[2]", "[0,2]") + "}"},
      {"name_twice", "{" + tensor("a", "[2]", "[0,2]") + "," + tensor("a", "[2]", "[2,4]") + "}"},
      {"overlap", "{" + tensor("a", "[3]", "[0,3]") + "," + tensor("b", "[2]", "[2,4]") + "}"},
      {"gap", "{" + tensor("a", "[1]", "[0,1]") + "," + tensor("b", "[2]", "[2,4]") + "}"},
      {"beyond_the_end", "{" + tensor("a", "[9]", "[0,9]") + "}"},
      {"huge_extents", "{" + tensor("a", "[4294967296,4294967296,0]", "[0,0]") + "}"},
      {"huge_number", "{" + tensor("a", "[99999999999999999999999]", "[0,4]") + "}"},
      {"negative", "{" + tensor("a", "[-4]", "[0,4]") + "}"},
      {"rank_5", "{" + tensor("a", "[1,1,1,1,4]", "[0,4]") + "}"},
      {"deep", std::string(500, '{')},
      {"deep_lists", "{\"a\":" + std::string(500, '[')},
      {"unknown_dtype", R"({"a":{"dtype":"I4","shape":[4],"data_offsets":[0,4]}})"},
      {"bad_json", "{\"a\":"},
  };
  for (const auto& [name, header] : headers) Save(folder, name, SafetensorsFile(header, "data"));
  const auto blocks = [&](const std::string& name, const std::string& type, const std::string& shape) {
    const std::string header = R"({"__metadata__":{"linnet.quantized.a":")" + type + R"("},)" +
                               tensor("a", shape, shape == "[1,34]" ? "[0,34]" : "[0,0]") + "}";
    Save(folder, name, SafetensorsFile(header, shape == "[1,34]" ? std::string(34, 'x') : ""));
  };
  blocks("blocks", "q8_0", "[1,34]");
  blocks("blocks_of_no_type", "q9_9", "[1,34]");
  blocks("blocks_cut", "q4_k", "[1,34]");
  blocks("blocks_empty", "q4_0", "[0,9223372036854775806]");
  Save(folder, "header_beyond_file", Bytes<uint64_t>(1000) + "{}");
}

/// The event of the first of some records.
std::string EventIn(const std::string& records) {
  return records.substr(12, static_cast<unsigned char>(records[0]));
}

/// Event files, and events alone.
void MakeEvents(const std::filesystem::path& folder) {
  const std::filesystem::path sound = folder / "events" / "sound";
  std::filesystem::create_directories(folder / "events");
  {
    EventFile file(sound, 1, 1000);
    for (int64_t step = 1; step < 4; ++step) file.Write({step, 1001, {{"loss", 2.5}}, {{"text", "a"}}});
  }
  const std::string whole = ReadFile(sound);
  const size_t head = 40 + 12 + 15 + 4, one = (whole.size() - head) / 3;  // version, session; a step
  Save(folder / "events", "torn", whole.substr(0, whole.size() - 5));
  Save(folder / "events", "torn_in_a_length", whole.substr(0, 45));
  Save(folder / "events", "length_damaged", "\x19" + whole.substr(1));
  Save(folder / "events", "event_damaged", whole.substr(0, 20) + "x" + whole.substr(21));
  Save(folder / "events", "huge_length",
       Bytes<uint64_t>(~uint64_t{0}) + Bytes(MaskedCrcOf(std::string(8, '\xff'))) + "abcd");
  Save(folder / "events", "empty_event", EventRecord("") + EventRecord(""));
  const std::pair<const char*, std::string> events[] = {
      {"step", "\x10\x05"s},
      {"negative_step", "\x10" + std::string(9, '\xff') + "\x01"},
      {"endless_number", std::string(11, '\xff')},
      {"cut_number", "\x10\xff"s},
      {"unknown_type", "\x0b"s},
      {"field_beyond_the_end", "\x2a\x7f"s},
      {"huge_field", "\x2a" + std::string(9, '\xff') + "\x01"},
      {"text", EventIn(whole.substr(whole.size() - one))}};
  for (const auto& [name, event] : events) Save(folder / "event", name, event);
}

std::string SmallTensor() { return pkl::Tensor(pkl::Storage("FloatStorage", "0", 4), 0, {2, 2}, {2, 1}); }

/// Pickles for an archive with the storages "0" and "1" of 64 bytes.
pkl::Items Pickles() {
  const std::string half = pkl::Storage("HalfStorage", "1", 32, "cuda:0");
  std::string doubling = "}q\1";  // each dict holds the one before it twice
  for (int i = 0; i < 30; ++i) doubling += "0}q\2(X\1\0\0\0ah\1X\1\0\0\0bh\1uq\1"s;
  return {
      {"dict", pkl::Dict({{"a", SmallTensor()}})},
      {"ordered_dict", pkl::OrderedDict({{"a", SmallTensor()}, {"b", pkl::Tensor(half, 4, {2, 3}, {1, 2})}})},
      {"metadata",
       pkl::OrderedDict({{"a", SmallTensor()}}) + pkl::Dict({{"_metadata", pkl::Dict({})}}) + "b"},
      {"parameter", pkl::Dict({{"module.a", pkl::Parameter(SmallTensor())}})},
      {"nested",
       pkl::Dict({{"step", pkl::Int(7)}, {"model", pkl::Dict({{"x", pkl::Dict({{"a", SmallTensor()}})}})}})},
      {"size",
       pkl::Dict({{"s", pkl::Call(pkl::Global("torch", "Size"), {pkl::Ints({2})})}, {"a", SmallTensor()}})},
      {"protocol_4",
       "\x95\0\0\0\0\0\0\0\0}\x94(\x8c\1a\x8c\5torch\x8c\4Size\x93)R\x8c\1b"s + SmallTensor() + "u"},
      {"scalars",
       pkl::Dict(
           {{"f", "G\x3f\xf0\0\0\0\0\0\0"s}, {"t", "\x88"}, {"n", "N"}, {"l", "](K\1M\2\0e"s + "N" + "a"}})},
      {"os_system", pkl::Global("os", "system") + pkl::Tuple({pkl::Text("true")}) + "R"},
      {"itself", "}q\0(X\1\0\0\0ah\0u"s},
      {"doubling", doubling},
      {"far_memo_slot", "}r\xff\xff\xff\x7f"s},
      {"deep_tuples", std::string(500, '(') + std::string(500, 't')},
      {"stride_0",
       pkl::Dict({{"a", pkl::Tensor(pkl::Storage("ByteStorage", "0", 4), 0, {1 << 30, 1 << 30}, {0, 0})}})},
      {"offset_overflow",
       pkl::Dict({{"a", pkl::Tensor(pkl::Storage("ByteStorage", "0", 4), INT64_MAX, {2}, {INT64_MAX})}})},
      {"rank_5", pkl::Dict({{"a", pkl::Tensor(pkl::Storage("ByteStorage", "0", 4), 0, {1, 1, 1, 1, 1},
                                              {1, 1, 1, 1, 1})}})},
  };
}

void MakePth(const std::filesystem::path& folder) {
  const std::string values(64, 'v');
  Save(folder, "plain", Pth(pkl::Dict({{"a", SmallTensor()}}), {{"0", values}}));
  Save(folder, "odd_folder", Pth(pkl::Dict({{"a", SmallTensor()}}), {{"0", values}}, "x y/z"));
  const std::string program = pkl::Program(pkl::Dict({{"a", SmallTensor()}}));
  ZipWriter newer;
  newer.Add("n/data.pkl", program, {.deflate = true});
  newer.Add("n/byteorder", "little");
  newer.Add("n/data/0", values, {.zip64 = true});
  Save(folder, "zip64", newer.Finish(true));
  Save(folder, "comment", newer.Finish(false, "a comment"));
  ZipWriter bomb;
  bomb.Add("b/data.pkl", std::string(100'000, 'N'), {.deflate = true});
  Save(folder, "bomb", bomb.Finish());
  ZipWriter twice;
  twice.Add("t/data.pkl", program);
  twice.Add("t/data.pkl", program);
  Save(folder, "member_twice", twice.Finish());
  ZipWriter encrypted;
  encrypted.Add("e/data.pkl", program, {.flags = 1});
  Save(folder, "encrypted", encrypted.Finish());
  const std::string sound = Pth(pkl::Dict({{"a", SmallTensor()}}), {{"0", values}});
  Save(folder, "cut_short", sound.substr(0, sound.size() / 2));
  Save(folder, "missing_storage", Pth(pkl::Dict({{"a", SmallTensor()}}), {}));
}

void MakePthStream(const std::filesystem::path& folder) {
  const std::string storage = pkl::StreamStorage("FloatStorage", "0", 4);
  const std::string value = pkl::OrderedDict({{"a", pkl::Tensor(storage, 0, {2, 2}, {1, 2})}});
  const std::string values = Values<float>({1, 2, 3, 4});
  const size_t magic = pkl::Program(pkl::kStreamMagic).size();
  const auto save = [&](const std::string& name, const std::string& file) {
    Save(folder, name, file.substr(magic));
  };
  save("sound", PthStream(value, {{"0", 4, values}}));
  save("other_version", PthStream(value, {{"0", 4, values}}, {.version = 1000}));
  save("big_endian", PthStream(value, {{"0", 4, values}}, {.little_endian = "\x89"}));
  save("huge_storage", PthStream(value, {{"0", UINT64_MAX / 2, values}}));
  save("no_storage", PthStream(value, {}));
  save("storage_twice", PthStream(value, {{"0", 4, values}, {"0", 4, values}}));
}

void MakeCsv(const std::filesystem::path& folder) {
  const std::pair<const char*, std::string> tables[] = {
      {"plain", "question,a,b,answer\nwhy?,x,y,1\n"},
      {"quotes", "\"a, \"\"b\"\"\",\"c\r\nd\",\"\"\r\n5\" pipe,e\n"},
      {"blank_lines", "\xEF\xBB\xBF\n\r\na\n\n,\n"},
      {"no_end", "a,\"b\nc"},
      {"after_the_end", "\"a\"b,c"},
      {"wide", std::string(1200, ',')},
  };
  for (const auto& [name, table] : tables) Save(folder, name, table);
}

/// A binidx of three documents, one with nothing in it, as FuzzBinidx reads it.
std::string SmallBinidx(uint8_t type, size_t token_bytes, bool mask) {
  const std::vector<uint64_t> tokens{1, 2, 0, 7, 0};
  std::string index("MMIDIDX\0\0\1\0\0\0\0\0\0\0", 17), text;
  const auto put = [](std::string& to, uint64_t value, size_t bytes) {
    to.append(reinterpret_cast<const char*>(&value), bytes);
  };
  put(index, type, 1), put(index, 3, 8), put(index, 4, 8);
  for (uint64_t size : {3, 0, 2}) put(index, size, 4);
  for (uint64_t token : {0, 3, 3}) put(index, token * token_bytes, 8);
  for (uint64_t item : {0, 1, 2, 3}) put(index, item, 8);
  for (uint64_t token : tokens) put(text, token, token_bytes);
  std::string file;
  put(file, index.size(), 2), put(file, text.size(), 2);
  file += index + text;
  if (mask) file += std::string("linnet mask 1\0\0\0qa", 18) + std::string(46, '\0') + "\x17";
  return file;
}

void MakeBinidx(const std::filesystem::path& folder) {
  Save(folder, "u16", SmallBinidx(8, 2, false));
  Save(folder, "masked", SmallBinidx(4, 4, true));
  Save(folder, "u8", SmallBinidx(1, 1, false));
  Save(folder, "i64", SmallBinidx(5, 8, true));
  Save(folder, "doubles", SmallBinidx(6, 8, false));
  Save(folder, "cut_short", SmallBinidx(8, 2, false).substr(0, 90));
  std::string changed = SmallBinidx(8, 2, false);
  changed[4 + 18] = '\x7F';
  Save(folder, "many_items", changed);
}

void MakeIdx(const std::filesystem::path& folder) {
  const std::string head = "\0\0\x08"s, two = head + "\x02\0\0\0\x02\0\0\0\x03"s;
  Save(folder, "two_extents", two + "abcdef");
  Save(folder, "one_extent", head + "\x01\0\0\0\x01z"s);
  Save(folder, "cut_short", two + "abc");
  Save(folder, "left_over", two + "abcdefg");
  Save(folder, "huge_extents", head + "\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s);
  Save(folder, "no_elements", head + "\x01\0\0\0\0"s);
  Save(folder, "floats", "\0\0\x0D\x01\0\0\0\x01"s + "abcd");
  // The first as gzip writes it.
  const std::string compressed =
      "\037\213\010\000\000\000\000\000\002\003\143\140\340\140\142\140\140\000\141\346"s
      "\304\244\344\224\324\064\000\203\332\106\057\022\000\000\000"s;
  Save(folder, "compressed", compressed);
}

}  // namespace
}  // namespace linnet

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_corpus FOLDER\n");
    return 1;
  }
  const std::filesystem::path folder = argv[1];
  linnet::MakeSafetensors(folder / "safetensors");
  linnet::MakePth(folder / "pth");
  linnet::MakePthStream(folder / "pth_stream");
  linnet::MakeModels(folder);
  linnet::MakeCsv(folder / "csv");
  linnet::MakeEvents(folder);
  linnet::MakeBinidx(folder / "binidx");
  linnet::MakeIdx(folder / "idx");
  for (const auto& [name, value] : linnet::Pickles()) {
    linnet::Save(folder / "pickle", name, linnet::pkl::Program(value));
  }
}
