// What the engine of the server reaches, without HTTP: many streams together beside the same batch decoded in
// a plain loop; the time between tokens of running streams while a long prompt is read; the first token of a
// long conversation that is in the cache. Or, with --http, what clients of a `linnet serve` get
// (http_streams.h).
//
//   server_bench [MODEL] [--streams 64] [--slots 64] [--tokens 400] [--prompt 30000] [--history 100000]
//                [--rounds 3] [--threads N]
//   server_bench [MODEL] --http MINUTES [--connections 1000] [--slots 64] [--tokens 400] [--linnet PROGRAM]
//
// Everything that is compared is measured in one run, in turns; medians of the rounds.
#include <atomic>
#include <cstdio>
#include <thread>

#include "bench/engine_jobs.h"
#include "bench/http_streams.h"
#include "bench/measure.h"
#include "infer/generator.h"

namespace linnet::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string model = "models/starter.safetensors";
  int streams = 64, slots = 64;
  int64_t tokens = 400, prompt = 30'000, history = 100'000;
  int rounds = 3;
  HttpStreamsOptions http;
};

Job Stream(const Tokenizer& tokenizer, int64_t tokens, uint64_t seed) {
  Job job;
  job.client = fmt::format("{}", seed % 16);
  job.prompt = SomeTokens(8, tokenizer.vocab(), seed);
  job.max_tokens = tokens;
  job.past_end = true;
  job.seed = seed;
  return job;
}

/// Tokens a second of a plain loop of forward passes over as many sequences.
double PlainDecode(const LoadedModel& model, int sequences, int steps) {
  const State state = model.NewState(sequences);
  Batch batch;
  for (int s = 0; s < sequences; ++s) batch.Append({1 + s % 200}, s);
  model.model->Forward(batch, state);
  return sequences * steps / Seconds([&] {
           for (int i = 0; i < steps; ++i) model.model->Forward(batch, state);
         });
}

double StreamsTogether(const LoadedModel& model, const Tokenizer& tokenizer, const Arguments& arguments) {
  Engine engine(model, tokenizer, {.slots = arguments.slots, .queue = arguments.streams});
  Jobs jobs(engine);
  return static_cast<double>(arguments.streams * arguments.tokens) / Seconds([&] {
           for (int i = 0; i < arguments.streams; ++i)
             jobs.Submit(Stream(tokenizer, arguments.tokens, static_cast<uint64_t>(i)));
           jobs.Wait();
         });
}

nlohmann::json Quantiles(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    return seconds.empty()
               ? 0
               : 1e3 * seconds[static_cast<size_t>(share * static_cast<double>(seconds.size() - 1))];
  };
  return {{"count", seconds.size()},
          {"p50_ms", at(0.5)},
          {"p90_ms", at(0.9)},
          {"p99_ms", at(0.99)},
          {"max_ms", at(1)}};
}

/// Times between the tokens of running streams, before and while a long prompt of another client is read.
nlohmann::json LongPrompt(const LoadedModel& model, const Tokenizer& tokenizer, const Arguments& arguments,
                          int streams) {
  Engine engine(model, tokenizer, {.slots = arguments.slots});
  enum { kWarm, kBefore, kDuring, kOver };
  std::atomic<int> phase = kWarm;
  std::vector<double> gaps[4];
  std::atomic<int64_t> tokens = 0;
  Jobs jobs(engine);
  std::vector<Engine::JobId> ids;
  for (int i = 0; i < streams; ++i) {
    Job job = Stream(tokenizer, 1'000'000'000, static_cast<uint64_t>(i));
    job.on_text = [&, last = Clock::time_point()](std::string_view, const ScoredToken*) mutable {
      const auto now = Clock::now();
      if (last != Clock::time_point())
        gaps[phase].push_back(std::chrono::duration<double>(now - last).count());
      last = now;
      ++tokens;
    };
    ids.push_back(jobs.Submit(std::move(job)));
  }
  const auto wait_for = [&](int64_t count) {
    while (tokens < count) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  };
  wait_for(streams * 100);
  phase = kBefore;
  wait_for(tokens + streams * 400);
  Job reader;
  reader.client = "reader";
  reader.prompt = SomeTokens(arguments.prompt, tokenizer.vocab(), 99);
  reader.max_tokens = 1;
  reader.past_end = true;
  double seconds = 0;
  std::mutex mutex;
  std::condition_variable read;
  bool done = false;
  reader.on_end = [&](const JobResult& result) {
    phase = kOver;
    std::lock_guard lock(mutex);
    seconds = std::chrono::duration<double>(result.reading).count();
    done = true;
    read.notify_one();
  };
  phase = kDuring;
  jobs.Submit(std::move(reader));
  {
    std::unique_lock lock(mutex);
    read.wait(lock, [&] { return done; });
  }
  for (const Engine::JobId id : ids) engine.Cancel(id);
  jobs.Wait();
  const nlohmann::json before = Quantiles(gaps[kBefore]), during = Quantiles(gaps[kDuring]);
  return {{"streams", streams},
          {"prompt_tokens", arguments.prompt},
          {"read_s", seconds},
          {"between_tokens_before", before},
          {"between_tokens_during", during},
          {"median_ratio", during["p50_ms"].get<double>() / before["p50_ms"].get<double>()},
          {"p99_ratio", during["p99_ms"].get<double>() / before["p99_ms"].get<double>()}};
}

/// Time to the first token of a job from its submission.
double FirstToken(Engine& engine, Job job, int64_t* cached = nullptr) {
  Jobs jobs(engine);
  const auto start = Clock::now();
  double seconds = 0;
  job.on_text = [&](std::string_view, const ScoredToken*) {
    if (seconds == 0) seconds = std::chrono::duration<double>(Clock::now() - start).count();
  };
  job.on_end = [&](const JobResult& result) {
    if (cached != nullptr) *cached = result.cached_tokens;
  };
  jobs.Submit(std::move(job));
  jobs.Wait();
  return seconds;
}

/// A new message of 60 tokens after a long conversation that is in the cache, and after none.
nlohmann::json CachedConversation(const LoadedModel& model, const Tokenizer& tokenizer,
                                  const Arguments& arguments) {
  Engine engine(model, tokenizer, {.slots = arguments.slots});
  const std::vector<int> history = SomeTokens(arguments.history, tokenizer.vocab(), 5);
  const auto ask = [&](const std::vector<int>& before, uint64_t seed) {
    Job job;
    job.prompt = before;
    if (!before.empty()) job.marks = {{before.size(), "history"}};
    const std::vector<int> message = SomeTokens(60, tokenizer.vocab(), seed);
    job.prompt.insert(job.prompt.end(), message.begin(), message.end());
    job.max_tokens = 1;
    job.past_end = true;
    return job;
  };
  const double unread = FirstToken(engine, ask(history, 0));
  std::vector<double> cached, empty, ratios;
  int64_t cached_tokens = 0;
  for (uint64_t i = 1; i <= 41; ++i) {
    empty.push_back(FirstToken(engine, ask({}, i)));
    cached.push_back(FirstToken(engine, ask(history, i), &cached_tokens));
    ratios.push_back(cached.back() / empty.back());
  }
  return {{"history_tokens", arguments.history},         {"cached_tokens", cached_tokens},
          {"first_token_unread_ms", 1e3 * unread},       {"first_token_cached_ms", 1e3 * Median(cached)},
          {"first_token_empty_ms", 1e3 * Median(empty)}, {"ratio", Median(ratios)}};
}

}  // namespace
}  // namespace linnet::bench

int main(int argc, char** argv) {
  using namespace linnet;
  using namespace linnet::bench;
  WaitShortly(argv);
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (!flag.starts_with("--")) {
      arguments.model = flag;
      continue;
    }
    const std::string value = i + 1 < argc ? argv[++i] : "0";
    if (flag == "--streams") arguments.streams = std::stoi(value);
    if (flag == "--slots") arguments.slots = std::stoi(value);
    if (flag == "--tokens") arguments.tokens = std::stoll(value);
    if (flag == "--prompt") arguments.prompt = std::stoll(value);
    if (flag == "--history") arguments.history = std::stoll(value);
    if (flag == "--threads") SetThreads(std::stoi(value));
    if (flag == "--rounds") arguments.rounds = std::stoi(value);
    if (flag == "--http") arguments.http.minutes = std::stod(value);
    if (flag == "--connections") arguments.http.connections = std::stoi(value);
    if (flag == "--linnet") arguments.http.program = value;
  }
  const LoadedModel model = LoadModel(arguments.model);
  if (arguments.http.minutes > 0) {
    arguments.http.model = arguments.model;
    arguments.http.slots = arguments.slots;
    arguments.http.tokens = arguments.tokens;
    nlohmann::json report{{"machine", Machine()}, {"model", arguments.model}};
    report["http"] = HttpStreams(model, arguments.http);
    std::puts(report.dump(2).c_str());
    return 0;
  }
  const auto tokenizer = TokenizerOf(model, arguments.model);
  std::vector<double> plain, together, shares;
  const int batch = std::min(arguments.streams, arguments.slots);
  for (int round = 0; round < arguments.rounds; ++round) {
    std::fprintf(stderr, "server_bench: round %d of %d\n", round + 1, arguments.rounds);
    plain.push_back(PlainDecode(model, batch, static_cast<int>(arguments.tokens)));
    together.push_back(StreamsTogether(model, *tokenizer, arguments));
    shares.push_back(together.back() / plain.back());
  }
  nlohmann::json report{{"machine", Machine()}, {"model", arguments.model}};
  report["streams"] = {{"streams", arguments.streams},
                       {"slots", arguments.slots},
                       {"tokens_each", arguments.tokens},
                       {"plain_decode_tokens_per_s", Median(plain)},
                       {"engine_tokens_per_s", Median(together)},
                       {"share", Median(shares)}};
  for (const int streams : {1, 16, batch}) {
    std::fprintf(stderr, "server_bench: a long prompt beside %d streams\n", streams);
    report["long_prompt"].push_back(LongPrompt(model, *tokenizer, arguments, streams));
  }
  std::fprintf(stderr, "server_bench: a conversation in the cache\n");
  report["conversation"] = CachedConversation(model, *tokenizer, arguments);
  report["resident_mb"] = static_cast<double>(ResidentBytes()) / 1e6;
  std::puts(report.dump(2).c_str());
}
