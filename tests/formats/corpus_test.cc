// Every seed and every input that a fuzzer once broke a reader with, run without a fuzzer.
#include <gtest/gtest.h>

#include <filesystem>

#include "fuzz/formats_entries.h"

namespace linnet {
namespace {

size_t RunAll(const std::string& folder, void (*entry)(std::span<const std::byte>)) {
  size_t files = 0;
  const std::filesystem::path corpus = LINNET_SOURCE_DIR "/tests/fuzz/corpus";
  for (const auto& file : std::filesystem::directory_iterator(corpus / folder)) {
    SCOPED_TRACE(file.path().string());
    const std::string text = ReadFile(file.path());
    EXPECT_NO_THROW(entry(std::as_bytes(std::span(text))));
    ++files;
  }
  return files;
}

TEST(Corpus, Safetensors) { EXPECT_GT(RunAll("safetensors", FuzzSafetensors), 10u); }
TEST(Corpus, Pth) { EXPECT_GT(RunAll("pth", FuzzPth), 5u); }
TEST(Corpus, Pickle) { EXPECT_GT(RunAll("pickle", FuzzPickle), 10u); }
TEST(Corpus, PthStream) { EXPECT_GT(RunAll("pth_stream", FuzzPthStream), 5u); }
TEST(Corpus, Gguf) { EXPECT_GT(RunAll("gguf", FuzzGguf), 5u); }
TEST(Corpus, RwkvCpp) { EXPECT_GT(RunAll("rwkv_cpp", FuzzRwkvCpp), 5u); }
TEST(Corpus, Names) { EXPECT_GT(RunAll("names", FuzzNames), 5u); }
TEST(Corpus, Events) { EXPECT_GT(RunAll("events", FuzzEvents), 5u); }
TEST(Corpus, Event) { EXPECT_GT(RunAll("event", FuzzEvent), 5u); }
TEST(Corpus, Binidx) { EXPECT_GT(RunAll("binidx", FuzzBinidx), 5u); }
TEST(Corpus, Idx) { EXPECT_GT(RunAll("idx", FuzzIdx), 5u); }
TEST(Corpus, ShardIndex) { EXPECT_GT(RunAll("shard_index", FuzzShardIndex), 5u); }

// The readers must throw nothing but Error, wherever a sound file is cut or a byte of it changed.
TEST(Corpus, EveryCutAndEveryChangedByteOfASoundFile) {
  const std::filesystem::path corpus = LINNET_SOURCE_DIR "/tests/fuzz/corpus";
  const std::pair<std::string, void (*)(std::span<const std::byte>)> files[] = {
      {"safetensors/all_dtypes", FuzzSafetensors},
      {"pth/zip64", FuzzPth},
      {"pickle/nested", FuzzPickle},
      {"pth_stream/sound", FuzzPthStream},
      {"gguf/vocabulary", FuzzGguf},
      {"rwkv_cpp/blocks", FuzzRwkvCpp},
      {"names/wrapped", FuzzNames},
      {"events/sound", FuzzEvents},
      {"event/text", FuzzEvent},
      {"shard_index/sound", FuzzShardIndex},
      {"binidx/masked", FuzzBinidx},
      {"idx/two_extents", FuzzIdx},
      {"idx/compressed", FuzzIdx}};
  for (const auto& [name, entry] : files) {
    const std::string sound = ReadFile(corpus / name);
    for (size_t i = 0; i < sound.size(); ++i) {
      const std::string cut = sound.substr(0, i);
      EXPECT_NO_THROW(entry(std::as_bytes(std::span(cut))));
      for (unsigned char bits : {0x01, 0x80, 0xFF}) {
        std::string changed = sound;
        changed[i] = static_cast<char>(changed[i] ^ bits);
        EXPECT_NO_THROW(entry(std::as_bytes(std::span(changed)))) << name << " byte " << i;
      }
    }
  }
}

}  // namespace
}  // namespace linnet
