#include "formats/zip.h"

#include "formats/pth_builder.h"
#include "formats/refusal.h"

namespace linnet {
namespace {

std::string Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string ReadMember(const std::string& zip, std::string_view name, uint64_t max_bytes = 1 << 20) {
  const ZipArchive archive(InMemory(zip));
  const ZipArchive::Member* member = archive.Find(name);
  return member == nullptr ? "(absent)" : Text(archive.Read(*member, max_bytes));
}

std::string Single(const std::string& content, const ZipWriter::Options& options) {
  ZipWriter zip;
  zip.Add("a", content, options);
  return zip.Finish();
}

/// `text` with the bytes at `at` replaced.
std::string Patched(std::string text, size_t at, const std::string& bytes) {
  return text.replace(at, bytes.size(), bytes);
}

TEST(Zip, FindsMembersStoredAndDeflated) {
  ZipWriter zip;
  zip.Add("folder/b", "stored");
  zip.Add("folder/a", std::string(500, 'x') + "deflated", {.deflate = true});
  zip.Add("empty", "");
  for (const std::string& file : {zip.Finish(), zip.Finish(false, "a comment"), zip.Finish(true)}) {
    EXPECT_EQ(ReadMember(file, "folder/b"), "stored");
    EXPECT_EQ(ReadMember(file, "folder/a"), std::string(500, 'x') + "deflated");
    EXPECT_EQ(ReadMember(file, "empty"), "");
    EXPECT_EQ(ReadMember(file, "folder"), "(absent)");
  }
  EXPECT_TRUE(ZipArchive(InMemory(ZipWriter().Finish())).members().empty());
}

TEST(Zip, ReadsSizesAndPositionsOf64Bits) {
  ZipWriter zip;
  zip.Add("first", "1", {.zip64 = true});
  zip.Add("second", "22", {.zip64 = true});
  EXPECT_EQ(ReadMember(zip.Finish(true), "second"), "22");
  EXPECT_EQ(ReadMember(zip.Finish(false), "second"), "22");
}

TEST(Zip, StoredMembersAreReadInPlace) {
  ZipWriter zip;
  zip.Add("a", "stored");
  const MappedFile file = InMemory(zip.Finish());
  const ZipArchive archive(file);
  const auto bytes = archive.InPlace(*archive.Find("a"));
  EXPECT_EQ(Text(bytes), "stored");
  EXPECT_EQ((bytes.data() - file.bytes().data()) % 64, 0);
  EXPECT_EQ(archive.file().bytes().data(), file.bytes().data());
}

TEST(Zip, RefusesAMissingDirectory) {
  const std::string sound = Single("content", {});
  EXPECT_TRUE(Refuses([&] { ReadMember(sound.substr(0, sound.size() - 1), "a"); },
                      "test-file: is cut short: a zip archive without its directory"));
  EXPECT_TRUE(Refuses([&] { ReadMember("PK\3\4", "a"); }, "without its directory"));
  EXPECT_TRUE(Refuses([&] { ReadMember(sound + "trailing", "a"); }, "without its directory"));
}

TEST(Zip, RefusesABrokenDirectory) {
  const std::string sound = Single("content", {});
  const size_t end = sound.size() - 22;
  const auto patched = [&](size_t at, const std::string& bytes) {
    return [=] { ReadMember(Patched(sound, end + at, bytes), "a"); };
  };
  EXPECT_TRUE(Refuses(patched(4, Bytes<uint16_t>(1)), "is one part of a zip archive in several files"));
  EXPECT_TRUE(Refuses(patched(10, Bytes<uint16_t>(2)), "is one part of a zip archive in several files"));
  EXPECT_TRUE(Refuses(patched(8, Values<uint16_t>({2, 2})), "the zip directory claims 2 members in"));
  EXPECT_TRUE(Refuses(patched(12, Bytes<uint32_t>(46)), "zip directory: is cut short"));
  EXPECT_TRUE(Refuses(patched(12, Bytes<uint32_t>(0x7FFFFFFF)), "is cut short: needs 2147483647 bytes"));
  EXPECT_TRUE(Refuses(patched(16, Bytes<uint32_t>(0)), "zip directory: is malformed at its byte 0"));
  EXPECT_TRUE(Refuses(patched(16, Bytes<uint32_t>(0x7FFFFFFF)), "is cut short: refers to byte 2147483647"));
}

TEST(Zip, RefusesABrokenDirectoryOf64Bits) {
  ZipWriter zip;
  zip.Add("a", "content", {});
  const std::string sound = zip.Finish(true);
  const size_t locator = sound.size() - 22 - 20, end = locator - 56;
  const auto patched = [&](size_t at, const std::string& bytes) {
    return [=] { ReadMember(Patched(sound, at, bytes), "a"); };
  };
  EXPECT_TRUE(Refuses(patched(locator + 8, Bytes<uint64_t>(0)),
                      "the zip64 directory is not where its locator points"));
  EXPECT_TRUE(Refuses(patched(locator + 8, Bytes(UINT64_MAX)), "is cut short: refers to byte"));
  EXPECT_TRUE(Refuses(patched(locator + 16, Bytes<uint32_t>(2)), "in several files"));
  EXPECT_TRUE(Refuses(patched(end + 24, Values<uint64_t>({1ull << 60, 1ull << 60})),
                      "claims 1152921504606846976 members"));
  EXPECT_TRUE(Refuses(patched(end + 40, Bytes(UINT64_MAX)), "is cut short"));
  EXPECT_TRUE(Refuses(patched(end + 48, Bytes(UINT64_MAX)), "is cut short"));
}

TEST(Zip, RefusesBrokenMembers) {
  const auto reading = [](const ZipWriter::Options& options, uint64_t max_bytes = 1 << 20) {
    return [=] { ReadMember(Single(std::string(100, 'x'), options), "a", max_bytes); };
  };
  EXPECT_TRUE(Refuses(reading({.flags = 1}), "the zip member a is encrypted"));
  EXPECT_TRUE(Refuses(reading({.disk = 3}), "the zip member a lies in another part of the archive"));
  EXPECT_TRUE(Refuses(reading({.method = 12}),
                      "the zip member a is compressed by method 12; linnet knows only deflate"));
  EXPECT_TRUE(Refuses(reading({}, 99), "the zip member a has 100 bytes; at most 99 make sense here"));
  EXPECT_TRUE(Refuses(reading({.bytes = 101}), "the zip member a is compressed, so it cannot be mapped"));
  EXPECT_TRUE(
      Refuses(reading({.deflate = true, .bytes = 101}), "a is corrupt: it does not inflate to 101 bytes"));
  EXPECT_TRUE(
      Refuses(reading({.deflate = true, .bytes = 99}), "a is corrupt: it does not inflate to 99 bytes"));
  EXPECT_TRUE(Refuses(reading({.deflate = true, .bytes = 1'000'000}), "would grow from"));
  EXPECT_TRUE(Refuses(reading({.method = 8}), "a is corrupt"));
}

TEST(Zip, RefusesADeflatedMemberInPlace) {
  const ZipArchive archive(InMemory(Single(std::string(100, 'x'), {.deflate = true})));
  EXPECT_TRUE(Refuses([&] { archive.InPlace(*archive.Find("a")); }, "pack it with zip -0"));
}

TEST(Zip, RefusesANameTwice) {
  ZipWriter zip;
  zip.Add("b", "");
  zip.Add("a", "");
  zip.Add("b", "");
  EXPECT_TRUE(Refuses([&] { ReadMember(zip.Finish(), "a"); }, "test-file: holds a zip member twice: b"));
}

TEST(Zip, RefusesMembersThatAreNotWhereTheDirectorySays) {
  ZipWriter zip;
  zip.Add("a", "content");
  const std::string sound = zip.Finish();
  EXPECT_TRUE(
      Refuses([&] { ReadMember(Patched(sound, 0, "XX"), "a"); }, "a is not where the directory says"));
  const size_t entry = sound.size() - 22 - 47;
  const auto with = [&](size_t at, uint32_t value) {
    return [=] { ReadMember(Patched(sound, entry + at, Bytes(value)), "a"); };
  };
  EXPECT_TRUE(Refuses(with(42, 0x7FFFFFFF), "the zip member a: is cut short: refers to byte"));
  // Both sizes, so that they agree.
  const std::string huge = Patched(sound, entry + 20, Values<uint32_t>({50'000, 50'000}));
  EXPECT_TRUE(Refuses([&] { ReadMember(huge, "a"); }, "the zip member a: is cut short: needs 50000 bytes"));
  EXPECT_TRUE(Refuses(with(30, 0xFFFF), "is cut short"));  // an extra field beyond the directory
}

}  // namespace
}  // namespace linnet
