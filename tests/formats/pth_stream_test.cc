// .pth as torch wrote it before version 1.6: a stream of pickles and storages.
#include "formats/pth.h"
#include "formats/pth_builder.h"
#include "formats/refusal.h"
#include "formats/values.h"

namespace linnet {
namespace {

using std::string_literals::operator""s;

std::string Weights(const std::string& type = "FloatStorage", int64_t elements = 6) {
  return pkl::Dict({{"w", pkl::Tensor(pkl::StreamStorage(type, "7", elements), 0, {2, 3}, {1, 2})},
                    {"v", pkl::Tensor(pkl::StreamStorage("HalfStorage", "12", 1), 0, {1}, {1})}});
}

pkl::StreamItems Storages() {
  return {{"12", 1, Values<uint16_t>({0xC000})}, {"7", 6, Values<float>({0, 1, 2, 3, 4, 5})}};
}

auto Opening(const std::string& text) {
  return [=] { OpenPth(InMemory(text)); };
}

TEST(PthStream, TensorsOfStorages) {
  const auto checkpoint = OpenPth(InMemory(PthStream(Weights(), Storages())));
  EXPECT_EQ(checkpoint->format(), "pth");
  EXPECT_EQ(NamesOf(*checkpoint), (std::vector<std::string>{"w", "v"}));
  EXPECT_EQ(ValuesOf(*checkpoint, "w"), (std::vector<float>{0, 2, 4, 1, 3, 5}));  // with its strides
  EXPECT_EQ(ValuesOf(*checkpoint, "v"), (std::vector<float>{-2}));
  EXPECT_EQ(Checkpoint::Open(InMemory(PthStream(Weights(), Storages())))->entries().size(), 2u);
}

TEST(PthStream, WhatFollowsIsLeftAlone) {
  EXPECT_EQ(OpenPth(InMemory(PthStream(Weights(), Storages()) + "more"))->entries().size(), 2u);
}

TEST(PthStream, RefusesOtherHeads) {
  EXPECT_TRUE(Refuses(Opening(PthStream(Weights(), Storages(), {.version = 1000})),
                      "test-file: is an old .pth stream of another version than 1001"));
  EXPECT_TRUE(Refuses(Opening(PthStream(Weights(), Storages(), {.little_endian = "\x89"})),
                      "test-file: was saved on a big-endian machine"));
  EXPECT_TRUE(
      Refuses(Opening(PthStream(Weights(), Storages(), {.little_endian = "N"})), "big-endian machine"));
}

TEST(PthStream, RefusesCode) {
  EXPECT_TRUE(Refuses(Opening(PthStream(pkl::Dict({{"w", pkl::Global("os", "system")}}), {})),
                      "refers to os.system: linnet reads tensors only and runs no code"));
}

TEST(PthStream, RefusesBrokenStorages) {
  const std::string sound = PthStream(Weights(), Storages());
  EXPECT_TRUE(Refuses(Opening(sound.substr(0, sound.size() - 1)), "test-file: is cut short"));
  EXPECT_TRUE(Refuses(Opening(PthStream(Weights(), {{"7", UINT64_MAX, ""}})), "the storage 7 should have"));
  EXPECT_TRUE(Refuses(Opening(PthStream(Weights(), {{"7", UINT64_MAX / 4 + 2, "12345678"}})), "cut short"));
  EXPECT_TRUE(Refuses(Opening(PthStream(Weights(), {{"8", 0, ""}})),
                      "test-file: has a storage 8 that nothing refers to"));
  EXPECT_TRUE(Refuses(Opening(PthStream(Weights(), {Storages()[0], Storages()[0], Storages()[1]})),
                      "test-file: holds the storage 12 twice"));
  EXPECT_TRUE(Refuses(Opening(PthStream(Weights(), {Storages()[1]})),
                      "the tensor v has its values in storage 12, which is not in the file"));
  EXPECT_TRUE(
      Refuses(Opening(PthStream(Weights("FloatStorage", 7), Storages())),
              "the tensor w has its values in storage 7, which should have 7 elements but has 24 bytes"));
  const std::string two_types =
      pkl::Dict({{"a", pkl::Tensor(pkl::StreamStorage("FloatStorage", "7", 6), 0, {1}, {1})},
                 {"b", pkl::Tensor(pkl::StreamStorage("HalfStorage", "7", 6), 0, {1}, {1})}});
  EXPECT_TRUE(Refuses(Opening(PthStream(two_types, Storages())), "gives the storage 7 two element types"));
}

TEST(PthStream, RefusesPartsOfStorages) {
  const std::string part =
      pkl::Tuple({pkl::Text("storage"), pkl::Global("torch", "FloatStorage"), pkl::Text("7"),
                  pkl::Text("cpu"), pkl::Long(6), pkl::Tuple({pkl::Text("8"), "K\0K\1"s})}) +
      "Q";
  EXPECT_TRUE(Refuses(Opening(PthStream(pkl::Dict({{"w", pkl::Tensor(part, 0, {1}, {1})}}), {Storages()[1]})),
                      "the tensor w lies in a part of a storage"));
}

}  // namespace
}  // namespace linnet
