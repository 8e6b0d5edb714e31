// Tokenizers: how fast they encode and decode a text on one core, and how long they take to load.
//
//   tokenizer_bench TEXT VOCABULARY...        VOCABULARY: as for `linnet tokenize --tokenizer`
//
// Megabytes (10^6) of text a second, the median of several runs over the whole text. What is measured is the
// processor's time, not the clock's: this is work of one thread, and other programs may want its core.
#include <cstdio>
#include <ctime>

#include "base/file.h"
#include "bench/measure.h"
#include "text/tokenizer_of.h"

namespace linnet::bench {
namespace {

constexpr int kRuns = 7;

/// Seconds of processor time that `body` takes on this thread.
template <class Body>
double CpuSeconds(const Body& body) {
  const auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double start = now();
  body();
  return now() - start;
}

nlohmann::json Measure(const std::string& text, const std::string& vocabulary) {
  std::unique_ptr<Tokenizer> tokenizer;
  const double load = CpuSeconds([&] { tokenizer = MakeTokenizer(vocabulary); });
  std::vector<double> encode, decode;
  std::vector<int> ids;
  std::string decoded;
  for (int run = 0; run < kRuns; ++run) {
    encode.push_back(CpuSeconds([&] { ids = tokenizer->Encode(text); }));
    decode.push_back(CpuSeconds([&] { decoded = tokenizer->Decode(ids); }));
  }
  const double megabytes = static_cast<double>(text.size()) / 1e6;
  return {{"tokenizer", tokenizer->name()},
          {"load_ms", load * 1e3},
          {"tokens", ids.size()},
          {"bytes_per_token", static_cast<double>(text.size()) / static_cast<double>(ids.size())},
          {"encode_mb_per_s", megabytes / Median(encode)},
          {"decode_mb_per_s", megabytes / Median(decode)},
          {"comes_back", decoded == text}};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  linnet::WaitShortly(argv);
  using namespace linnet;
  using namespace linnet::bench;
  if (argc < 3) {
    std::fprintf(stderr, "usage: tokenizer_bench TEXT VOCABULARY...\n");
    return 1;
  }
  const std::string text = ReadFile(argv[1]);
  nlohmann::json report{{"machine", Machine()}, {"text", argv[1]}, {"bytes", text.size()}};
  for (int i = 2; i < argc; ++i) report["tokenizers"].push_back(Measure(text, argv[i]));
  std::puts(report.dump(2).c_str());
}
