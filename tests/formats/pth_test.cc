#include "formats/pth.h"

#include "formats/pth_builder.h"
#include "formats/refusal.h"

namespace linnet {
namespace {

const std::string kSixFloats = Values<float>({0, 1, 2, 3, 4, 5});

std::string SixFloats() { return pkl::Storage("FloatStorage", "0", 6); }
std::string Matrix() { return pkl::Tensor(SixFloats(), 0, {2, 3}, {3, 1}); }

std::unique_ptr<Checkpoint> Open(const std::string& value, const pkl::Items& storages = {{"0", kSixFloats}},
                                 const std::string& folder = "archive") {
  return OpenPth(InMemory(Pth(value, storages, folder)));
}

auto Opening(const std::string& value, const pkl::Items& storages = {{"0", kSixFloats}}) {
  return [=] { Open(value, storages); };
}

/// Opening a dict whose one tensor `w` is a view of the six floats.
auto OpeningView(int64_t offset, const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides) {
  return Opening(pkl::Dict({{"w", pkl::Tensor(SixFloats(), offset, sizes, strides)}}));
}

std::vector<float> Floats(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.data<float>() + tensor.size()};
}

std::vector<std::string> Names(const Checkpoint& checkpoint) {
  std::vector<std::string> names;
  for (const auto& entry : checkpoint.entries()) names.push_back(entry.name);
  return names;
}

TEST(Pth, PlainAndOrderedDicts) {
  for (const std::string& value : {pkl::Dict({{"b", Matrix()}, {"a", Matrix()}}),
                                   pkl::OrderedDict({{"b", Matrix()}, {"a", Matrix()}})}) {
    const auto checkpoint = Open(value);
    EXPECT_EQ(checkpoint->format(), "pth");
    EXPECT_EQ(Names(*checkpoint), (std::vector<std::string>{"b", "a"}));
    const Tensor a = checkpoint->Load("a");
    EXPECT_EQ(a.shape(), Shape({2, 3}));
    EXPECT_EQ(Floats(a), (std::vector<float>{0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(checkpoint->Load("b").raw(), a.raw());  // tied: the same storage, in place
  }
}

TEST(Pth, EveryStorageClass) {
  const std::pair<const char*, DType> classes[] = {
      {"FloatStorage", DType::kF32},  {"BFloat16Storage", DType::kBf16}, {"HalfStorage", DType::kF16},
      {"DoubleStorage", DType::kF64}, {"IntStorage", DType::kI32},       {"LongStorage", DType::kI64},
      {"ByteStorage", DType::kU8},    {"UntypedStorage", DType::kU8},
  };
  for (const auto& [name, dtype] : classes) {
    const auto checkpoint = Open(pkl::Dict({{"w", pkl::Tensor(pkl::Storage(name, "0", 3), 1, {2}, {1})}}));
    EXPECT_EQ(checkpoint->Find("w")->dtype, dtype) << name;
    EXPECT_EQ(checkpoint->Load("w").bytes(), 2u * static_cast<size_t>(Traits(dtype).bytes_per_block));
  }
  EXPECT_TRUE(
      Refuses(Opening(pkl::Dict({{"w", pkl::Tensor(pkl::Storage("BoolStorage", "0", 3), 0, {2}, {1})}})),
              "has a tensor in torch.BoolStorage, an element type that linnet does not have"));
}

TEST(Pth, ViewsOfOneStorage) {
  const auto checkpoint = Open(pkl::Dict({{"row", pkl::Tensor(SixFloats(), 3, {3}, {1})},
                                          {"transposed", pkl::Tensor(SixFloats(), 0, {3, 2}, {1, 3})},
                                          {"column", pkl::Tensor(SixFloats(), 1, {2}, {3})},
                                          {"four", pkl::Tensor(SixFloats(), 0, {1, 3, 1, 2}, {9, 1, 9, 3})},
                                          {"units", pkl::Tensor(SixFloats(), 0, {1, 6, 1}, {77, 1, 88})},
                                          {"scalar", pkl::Tensor(SixFloats(), 5, {}, {})},
                                          {"empty", pkl::Tensor(SixFloats(), 6, {0, 4}, {4, 1})}}));
  EXPECT_EQ(Floats(checkpoint->Load("row")), (std::vector<float>{3, 4, 5}));
  EXPECT_EQ(Floats(checkpoint->Load("transposed")), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(Floats(checkpoint->Load("column")), (std::vector<float>{1, 4}));
  EXPECT_EQ(Floats(checkpoint->Load("four")), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(checkpoint->Load("four").shape(), Shape({1, 3, 1, 2}));
  EXPECT_EQ(Floats(checkpoint->Load("units")), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(Floats(checkpoint->Load("scalar")), (std::vector<float>{5}));
  EXPECT_EQ(checkpoint->Load("scalar").shape(), Shape({}));
  EXPECT_EQ(checkpoint->Load("empty").shape(), Shape({0, 4}));
}

TEST(Pth, AMisalignedStorageIsCopied) {
  ZipWriter zip;
  zip.Add("a/data.pkl", pkl::Program(pkl::Dict({{"w", Matrix()}})), {.alignment = 1});
  zip.Add("a/data/0", kSixFloats, {.alignment = 1});
  std::string file = zip.Finish();
  while (file.find(kSixFloats) % 4 == 0) {
    zip = ZipWriter();
    zip.Add("ab/data.pkl", pkl::Program(pkl::Dict({{"w", Matrix()}})), {.alignment = 1});
    zip.Add("ab/data/0", kSixFloats, {.alignment = 1});
    file = zip.Finish();
  }
  const Tensor w = OpenPth(InMemory(file))->Load("w");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(w.raw()) % alignof(float), 0u);
  EXPECT_EQ(Floats(w), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(Pth, ParametersSizesAndDevices) {
  const std::string cuda = pkl::Storage("FloatStorage", "0", 6, "cuda:0");
  const std::string size = pkl::Call(pkl::Global("torch", "Size"), {pkl::Ints({6})});
  const std::string sized = pkl::Call(pkl::Global("torch._utils", "_rebuild_tensor_v2"),
                                      {SixFloats(), pkl::Int(0), size, pkl::Ints({1}), "\x89"});
  const auto checkpoint = Open(pkl::Dict(
      {{"parameter", pkl::Parameter(Matrix())}, {"cuda", pkl::Tensor(cuda, 0, {6}, {1})}, {"sized", sized}}));
  EXPECT_EQ(checkpoint->Find("parameter")->shape, Shape({2, 3}));
  EXPECT_EQ(checkpoint->Find("cuda")->shape, Shape({6}));
  EXPECT_EQ(checkpoint->Find("sized")->shape, Shape({6}));
}

TEST(Pth, NestedDictsAreJoinedByDots) {
  const auto checkpoint = Open(pkl::Dict(
      {{"a", pkl::Dict({{"b", pkl::Dict({{"c", Matrix()}})}})}, {"d", "}" + pkl::Int(7) + Matrix() + "s"}}));
  EXPECT_EQ(Names(*checkpoint), (std::vector<std::string>{"a.b.c", "d.7"}));
}

TEST(Pth, TheModelIsFoundBesideATrainersState) {
  const std::string optimizer = pkl::Dict({{"state", pkl::Dict({{"momentum", Matrix()}})}});
  for (const char* key : {"model", "state_dict", "module"}) {
    const auto checkpoint = Open(pkl::Dict(
        {{"epoch", pkl::Int(3)}, {"optimizer", optimizer}, {key, pkl::OrderedDict({{"w", Matrix()}})}}));
    EXPECT_EQ(Names(*checkpoint), std::vector<std::string>{"w"}) << key;
    EXPECT_EQ(checkpoint->metadata(), (std::map<std::string, std::string>{{"epoch", "3"}}));
  }
  // A tensor beside it: the dict is then part of the model.
  EXPECT_EQ(Names(*Open(pkl::Dict({{"model", pkl::Dict({{"w", Matrix()}})}, {"head", Matrix()}}))),
            (std::vector<std::string>{"model.w", "head"}));
}

TEST(Pth, ScalarsBecomeMetadataAndTheRestIsIgnored) {
  const auto checkpoint = Open(pkl::Dict({{"w", Matrix()},
                                          {"int", pkl::Long(-5)},
                                          {"text", pkl::Text("hello")},
                                          {"true", "\x88"},
                                          {"half", "G\x3F\xE0" + std::string(6, '\0')},
                                          {"none", "N"},
                                          {"list", "](" + pkl::Int(1) + "e"},
                                          {"size", pkl::Call(pkl::Global("torch", "Size"), {pkl::Ints({6})})},
                                          {"storage", SixFloats()}}));
  EXPECT_EQ(Names(*checkpoint), std::vector<std::string>{"w"});
  EXPECT_EQ(checkpoint->metadata(),
            (std::map<std::string, std::string>{
                {"half", "0.5"}, {"int", "-5"}, {"text", "hello"}, {"true", "true"}}));
}

TEST(Pth, AttributesOfAStateDictAreIgnored) {
  const std::string metadata =
      pkl::Dict({{"_metadata", pkl::OrderedDict({{"", pkl::Dict({{"version", pkl::Int(1)}})}})}});
  EXPECT_EQ(Names(*Open(pkl::OrderedDict({{"w", Matrix()}}) + metadata + "b")),
            std::vector<std::string>{"w"});
}

TEST(Pth, TheFolderHasAnyName) {
  for (const char* folder : {"archive", "003", "a b/c", "data"}) {
    EXPECT_EQ(Floats(Open(pkl::Dict({{"w", Matrix()}}), {{"0", kSixFloats}}, folder)->Load("w"))[5], 5)
        << folder;
  }
  ZipWriter zip;
  zip.Add("data.pkl", pkl::Program(pkl::Dict({{"w", Matrix()}})));
  zip.Add("data/0", kSixFloats);
  EXPECT_EQ(Floats(OpenPth(InMemory(zip.Finish()))->Load("w"))[5], 5);
}

TEST(Pth, MembersOfNewerTorch) {
  const auto with = [](const std::string& byte_order) {
    ZipWriter zip;
    zip.Add("n/data.pkl", pkl::Program(pkl::Dict({{"w", Matrix()}})), {.deflate = true});
    zip.Add("n/.format_version", "1");
    zip.Add("n/.storage_alignment", "64");
    zip.Add("n/byteorder", byte_order);
    zip.Add("n/data/0", kSixFloats, {.zip64 = true});
    return InMemory(zip.Finish(true));
  };
  EXPECT_EQ(Floats(OpenPth(with("little"))->Load("w"))[5], 5);
  EXPECT_TRUE(Refuses([&] { OpenPth(with("big")); }, "test-file: was saved on a big-endian machine"));
}

TEST(Pth, RefusesOtherArchives) {
  ZipWriter zip;
  zip.Add("word/document.xml", "<xml>");
  zip.Add("notdata.pkl", "");
  EXPECT_TRUE(
      Refuses([&] { OpenPth(InMemory(zip.Finish())); }, "test-file: is a zip archive, but not a .pth"));
  zip.Add("a/data.pkl", "");
  zip.Add("b/data.pkl", "");
  EXPECT_TRUE(
      Refuses([&] { OpenPth(InMemory(zip.Finish())); }, "holds two pickles, a/data.pkl and b/data.pkl"));
}

TEST(Pth, RefusesOtherObjects) {
  EXPECT_TRUE(Refuses(Opening(Matrix()), "test-file: does not hold a dict of tensors"));
  EXPECT_TRUE(Refuses(Opening("]"), "does not hold a dict of tensors; save the model's state_dict()"));
  EXPECT_TRUE(Refuses(Opening("}"), "test-file: holds no tensors"));
  EXPECT_TRUE(Refuses(Opening(pkl::Dict({{"step", pkl::Int(1)}})), "holds no tensors"));
  EXPECT_TRUE(Refuses(Opening("}NNs"), "a dict has a key that is neither text nor an integer"));
  EXPECT_TRUE(Refuses(Opening(pkl::Dict({{"w", pkl::Global("os", "system")}})),
                      "test-file: refers to os.system: linnet reads tensors only and runs no code"));
}

TEST(Pth, RefusesNamesTwice) {
  EXPECT_TRUE(
      Refuses(Opening(pkl::Dict({{"w", Matrix()}, {"w", Matrix()}})), "test-file: holds the tensor w twice"));
  EXPECT_TRUE(Refuses(Opening(pkl::Dict({{"a.b", Matrix()}, {"a", pkl::Dict({{"b", Matrix()}})}})),
                      "holds the tensor a.b twice"));
}

TEST(Pth, RefusesViewsBeyondTheStorage) {
  const char* const beyond = "test-file: the tensor w reaches beyond its storage of 6 elements";
  constexpr int64_t kHuge = INT64_MAX;
  EXPECT_TRUE(Refuses(OpeningView(0, {7}, {1}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(1, {2, 3}, {3, 1}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(0, {2, 2}, {5, 1}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(6, {}, {}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(7, {0}, {1}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(kHuge, {2}, {1}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(kHuge, {1}, {1}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(0, {2}, {kHuge}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(5, {2}, {kHuge}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(0, {3}, {kHuge}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(0, {kHuge, kHuge}, {0, 0}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(0, {kHuge, kHuge, 0}, {0, 0, 1}), beyond));
  EXPECT_TRUE(Refuses(OpeningView(0, {kHuge, 0}, {0, 1}), beyond));
}

TEST(Pth, RefusesSharingThatWouldFillTheMemory) {
  EXPECT_TRUE(Refuses(OpeningView(0, {1 << 30}, {0}), "the tensor w repeats the values of its storage"));
  EXPECT_TRUE(Refuses(OpeningView(0, {2, 6}, {0, 1}), "the tensor w repeats the values of its storage"));
  pkl::Items items;  // 2000 bytes of text each would not be refused; a memo makes them cost 13
  std::string tensors = "}" + pkl::Text("first") +
                        pkl::Tensor(pkl::Storage("ByteStorage", "0", 5000), 0, {5000}, {1}) + "q" +
                        std::string(1, '\1') + "s(";
  for (int i = 0; i < 100; ++i) tensors += pkl::Text(std::to_string(i)) + "h\1";
  EXPECT_TRUE(Refuses(Opening(tensors + "u", {{"0", std::string(5000, 'x')}}), "share storages too often"));
}

TEST(Pth, RefusesBrokenTensors) {
  const auto with = [](const std::string& tensor) { return Opening(pkl::Dict({{"w", tensor}})); };
  const auto built = [&](const std::vector<std::string>& arguments) {
    return with(pkl::Call(pkl::Global("torch._utils", "_rebuild_tensor_v2"), arguments));
  };
  const std::string storage = SixFloats(), zero = pkl::Int(0), one = pkl::Ints({1});
  EXPECT_TRUE(Refuses(built({storage, zero, one}), "the tensor w is built from 3 arguments, 4 are needed"));
  EXPECT_TRUE(Refuses(built({zero, zero, one, one}), "the tensor w has no storage"));
  EXPECT_TRUE(Refuses(built({pkl::Tuple({zero}) + "Q", zero, one, one}), "the tensor w has no storage"));
  EXPECT_TRUE(Refuses(built({zero + "Q", zero, one, one}), "the tensor w has no storage"));
  EXPECT_TRUE(Refuses(built({pkl::Ints({1, 2, 3, 4, 5}) + "Q", zero, one, one}),
                      "the tensor w has a malformed storage"));
  EXPECT_TRUE(Refuses(built({storage, "N", one, one}), "the tensor w has no valid offset"));
  EXPECT_TRUE(Refuses(built({storage, pkl::Int(-1), one, one}), "the tensor w has no valid offset"));
  EXPECT_TRUE(Refuses(built({storage, zero, zero, one}), "the tensor w has no valid shape"));
  EXPECT_TRUE(Refuses(built({storage, zero, pkl::Call(pkl::Global("torch", "Size"), {}), one}),
                      "built from 0 arguments"));
  EXPECT_TRUE(
      Refuses(built({storage, zero, one, pkl::Ints({1, 1})}), "the tensor w has 1 extents but 2 strides"));
  EXPECT_TRUE(Refuses(OpeningView(0, {-1}, {1}), "the tensor w has a shape or stride that is not a count"));
  EXPECT_TRUE(Refuses(OpeningView(0, {1}, {-1}), "the tensor w has a shape or stride that is not a count"));
  EXPECT_TRUE(Refuses(OpeningView(0, {1, 1, 1, 1, 6}, {6, 6, 6, 6, 1}), "the tensor w has rank 5"));
  EXPECT_TRUE(Refuses(with(pkl::Parameter(zero)), "the tensor w is a parameter without a tensor"));
  EXPECT_TRUE(Refuses(with(pkl::Parameter(pkl::Parameter(Matrix()))),
                      "the tensor w is a parameter without a tensor"));
}

TEST(Pth, RefusesBrokenStorages) {
  const std::string value = pkl::Dict({{"w", Matrix()}});
  EXPECT_TRUE(Refuses(Opening(value, {{"1", kSixFloats}}),
                      "the tensor w has its values in archive/data/0, which is not in the file"));
  EXPECT_TRUE(Refuses(Opening(value, {{"0", kSixFloats.substr(0, 20)}}),
                      "archive/data/0, which should have 6 elements but has 20 bytes"));
  const std::string negative = pkl::Tensor(pkl::Storage("FloatStorage", "0", -1), 0, {1}, {1});
  EXPECT_TRUE(Refuses(Opening(pkl::Dict({{"w", negative}})), "which should have -1 elements"));
  ZipWriter zip;
  zip.Add("a/data.pkl", pkl::Program(value));
  zip.Add("a/data/0", kSixFloats, {.deflate = true});
  EXPECT_TRUE(Refuses([&] { OpenPth(InMemory(zip.Finish())); },
                      "the zip member a/data/0 is compressed, so it cannot be mapped"));
}

TEST(Pth, RefusesDepthAndCycles) {
  std::string deep = Matrix();
  for (int i = 0; i < 40; ++i) deep = pkl::Dict({{"d", deep}});
  EXPECT_TRUE(Refuses(Opening(deep), "its dicts are nested more than 32 deep"));
  const std::string cycle = "}q\1" + pkl::Text("d") + "h\1s";
  EXPECT_TRUE(Refuses(Opening(cycle), "test-file: "));  // too deep or too many names, whichever comes first
}

// Thirty dicts, each holding the one before it twice, stand for 2^30 tensors.
TEST(Pth, RefusesExponentialSharing) {
  std::string value = pkl::Dict({{"w", Matrix()}});
  for (int i = 0; i < 30; ++i) {
    value += "q\1" + std::string("0}") + pkl::Text("a") + "h\1s" + pkl::Text("b") + "h\1s";
  }
  EXPECT_TRUE(Refuses(Opening(value), "expands to far more names than it has bytes for"));
}

// A key of a megabyte, used again and again through the memo.
TEST(Pth, RefusesRepeatedLongNames) {
  std::string value = "}(" + pkl::Text(std::string(1 << 20, 'k')) + "q\1N";
  for (int i = 0; i < 100; ++i) value += "h\1N";
  EXPECT_TRUE(Refuses(Opening(value + "u"), "expands to far more names than it has bytes for"));
}

}  // namespace
}  // namespace linnet
