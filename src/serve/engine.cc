#include "serve/engine.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "serve/active_job.h"
#include "serve/job_queue.h"
#include "serve/sliced_work.h"
#include "serve/state_cache.h"
#include "serve/step_plan.h"
#include "serve/together.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

/// Tokens a second over the last ten.
class Rate {
 public:
  void Add(int64_t tokens) {
    const auto now = Clock::now();
    if (counts_.empty() || now - counts_.back().first > kTogether) counts_.push_back({now, 0});
    counts_.back().second += tokens;
    Forget();
  }
  double PerSecond() {
    Forget();
    int64_t sum = 0;
    for (const auto& [when, tokens] : counts_) sum += tokens;
    return static_cast<double>(sum) / std::chrono::duration<double>(kWindow).count();
  }

 private:
  static constexpr std::chrono::seconds kWindow{10};
  static constexpr std::chrono::milliseconds kTogether{100};
  void Forget() {
    while (!counts_.empty() && Clock::now() - counts_.front().first > kWindow) counts_.pop_front();
  }
  std::deque<std::pair<Clock::time_point, int64_t>> counts_;
};

std::unique_ptr<StateFolder> FolderOf(const LoadedModel& model, const Tokenizer& tokenizer,
                                      const Engine::Options& options) {
  if (options.cache_dir.empty()) return nullptr;
  return std::make_unique<StateFolder>(options.cache_dir, model, tokenizer.name(), options.cache_dir_bytes);
}

}  // namespace

struct Engine::Impl {
  Impl(const LoadedModel& m, const Tokenizer& t, Options o);
  ~Impl();

  // The engine's thread.
  void Run();
  /// False if all is over.
  bool Wait();
  void EndCancelled();
  /// Gives slots to jobs that wait.
  void Admit();
  /// Takes a slot from the client that has the most, if one that waits has far fewer.
  void MakeRoom();
  std::unique_ptr<ActiveJob> NextJob();
  /// Begins a job, or has it wait for its prompt to be read by another, or for the place from which it begins
  /// to be read from disk.
  void Start(std::unique_ptr<ActiveJob> job);
  void Begin(std::unique_ptr<ActiveJob> job, size_t tokens, const StateCache::Place& known);
  void Load(std::unique_ptr<ActiveJob> job, const ActiveJob::Beginning& beginning);
  void TakeArrived();
  /// Puts back jobs that waited for another one to read their prompt.
  void TakeChoices();
  void Step();
  /// Has some rows of prompts be read in the passes of this step, or begins a pass in slices. Returns how
  /// many of the former there are.
  int AddReaders(int writing, std::map<const Adapters*, Pass>& passes);
  void GoOnInSlices(double seconds);
  /// Ends the jobs that are over.
  void Retire();
  void End(std::unique_ptr<ActiveJob> job);
  /// So that others see them.
  void CountWork();
  JobQueue::Running CountRunning() const;
  int RetryAfter() const;

  /// A job for which a place is read from disk.
  struct Loading {
    std::unique_ptr<ActiveJob> job;
    ActiveJob::Beginning beginning;
  };
  struct Loaded {
    ActiveJob::Beginning beginning;
    StateCache::Place place;  // null if it could not be read
  };
  /// A piece of a prompt that is read over several steps.
  struct InSlices {
    ActiveJob* job = nullptr;  // null: there is none
    int rows = 0;
    Pass pass;
    SlicedWork work;
  };

  const LoadedModel& model;
  const Tokenizer& tokenizer;
  const Options options;

  // The engine's thread alone.
  State state;
  std::vector<int> free_slots;
  std::vector<std::unique_ptr<ActiveJob>> running;  // in the order in which they began
  std::unordered_map<JobId, Loading> loading;
  std::unordered_map<JobId, Loaded> loaded;             // of jobs that wait for a slot
  std::map<JobId, std::unique_ptr<ActiveJob>> choices;  // whose prompt another job reads
  Pace pace;
  ReadingTurns turns;
  InSlices slices;
  int64_t ended_tokens = 0;

  mutable std::mutex mutex;  // of what follows
  std::condition_variable work, ended;
  JobQueue queue;
  std::unordered_set<JobId> live, cancelled;
  std::vector<std::pair<JobId, StateCache::Place>> arrived;  // from disk
  int waiting_jobs = 0;                                      // in `loading` and `choices`
  JobId last_id = 0;
  bool draining = false, stopping = false;
  EngineFigures figures;
  Rate rate;
  double job_s = 0;  // that one takes, about

  std::unique_ptr<StateCache> cache;  // has a thread, which tells of what it loaded
  std::thread thread;
};

Engine::Impl::Impl(const LoadedModel& m, const Tokenizer& t, Options o)
    : model(m), tokenizer(t), options(std::move(o)), state(m.NewState(options.slots)) {
  for (int slot = options.slots; slot-- > 0;) free_slots.push_back(slot);
  figures.slots = options.slots;
  cache = std::make_unique<StateCache>(options.cache_bytes, FolderOf(model, tokenizer, options));
  thread = std::thread([this] { Run(); });
}

Engine::Impl::~Impl() {
  {
    std::lock_guard lock(mutex);
    draining = stopping = true;
  }
  work.notify_one();
  thread.join();
}

void Engine::Impl::Run() {
  pthread_setname_np(pthread_self(), "engine");
  while (Wait()) {
    EndCancelled();
    TakeArrived();
    TakeChoices();
    Admit();
    Step();
    CountWork();
    Retire();
  }
}

bool Engine::Impl::Wait() {
  std::unique_lock lock(mutex);
  work.wait(lock, [&] {
    return stopping || !running.empty() || queue.size() > 0 || !cancelled.empty() || !arrived.empty();
  });
  if (stopping) cancelled = live;
  return !stopping || !live.empty();
}

void Engine::Impl::EndCancelled() {
  std::vector<std::unique_ptr<ActiveJob>> waiting;
  {
    std::lock_guard lock(mutex);
    for (JobId id : std::exchange(cancelled, {})) {
      if (auto job = queue.Remove(id)) waiting.push_back(std::move(job));
      if (auto node = loading.extract(id)) {
        waiting.push_back(std::move(node.mapped().job));
        --waiting_jobs;
      }
      if (auto node = choices.extract(id)) {
        waiting.push_back(std::move(node.mapped()));
        --waiting_jobs;
      }
      for (const auto& job : running) {
        if (job->id() != id) continue;
        if (slices.job == job.get()) {
          slices.work.Finish();  // it has the slot
          slices.job = nullptr;
        }
        job->Interrupt();
      }
    }
  }
  for (auto& job : waiting) {
    job->Interrupt();
    End(std::move(job));
  }
  Retire();
}

JobQueue::Running Engine::Impl::CountRunning() const {
  JobQueue::Running counts;
  for (const auto& job : running) ++counts[job->client()];
  return counts;
}

std::unique_ptr<ActiveJob> Engine::Impl::NextJob() {
  const JobQueue::Running counts = CountRunning();
  std::lock_guard lock(mutex);
  return queue.Pop(counts);
}

void Engine::Impl::MakeRoom() {
  const JobQueue::Running counts = CountRunning();
  std::lock_guard lock(mutex);
  const std::string* next = queue.Next(counts);
  if (next == nullptr || !free_slots.empty()) return;
  const auto has = counts.find(*next);
  const auto most = std::ranges::max_element(counts, {}, [](const auto& count) { return count.second; });
  if (most->second <= (has == counts.end() ? 0 : has->second) + 1) return;
  const auto last = std::find_if(running.rbegin(), running.rend(), [&](const auto& job) {
    return job->client() == most->first && job.get() != slices.job;
  });
  free_slots.push_back((*last)->slot());
  (*last)->Pause();
  queue.PutBack(std::move(*last));
  running.erase(std::next(last).base());
}

void Engine::Impl::Admit() {
  MakeRoom();
  while (!free_slots.empty() && loading.size() < static_cast<size_t>(options.slots)) {
    std::unique_ptr<ActiveJob> job = NextJob();
    if (!job) break;
    Start(std::move(job));
    Retire();  // its slot is free again if nothing is to be read or written
  }
}

void Engine::Impl::Start(std::unique_ptr<ActiveJob> job) {
  if (job->is_paused()) {
    job->Resume(free_slots.back());
    free_slots.pop_back();
    running.push_back(std::move(job));
    return;
  }
  if (SharedPrompt* shared = job->shared()) {
    if (shared->place) return Begin(std::move(job), 0, nullptr);
    if (shared->reader != nullptr && shared->reader != job.get()) {
      const std::lock_guard lock(mutex);
      ++waiting_jobs;
      choices[job->id()] = std::move(job);
      return;
    }
    shared->reader = job.get();
  }
  const auto from_disk = loaded.extract(job->id());
  if (from_disk && from_disk.mapped().place)
    return Begin(std::move(job), from_disk.mapped().beginning.tokens, from_disk.mapped().place);
  for (const auto& beginning : job->Beginnings()) {
    if (const auto known = cache->Find(beginning.key, beginning.needs_logits))
      return Begin(std::move(job), beginning.tokens, known);
    if (!from_disk && cache->OnDisk(beginning.key)) return Load(std::move(job), beginning);
  }
  Begin(std::move(job), 0, nullptr);
}

void Engine::Impl::Load(std::unique_ptr<ActiveJob> job, const ActiveJob::Beginning& beginning) {
  const JobId id = job->id();
  loading[id] = {std::move(job), beginning};
  {
    std::lock_guard lock(mutex);
    ++waiting_jobs;
  }
  cache->Load(beginning.key, [this, id](const StateCache::Place& place) {
    {
      std::lock_guard lock(mutex);
      arrived.emplace_back(id, place);
    }
    work.notify_one();
  });
}

void Engine::Impl::TakeArrived() {
  std::lock_guard lock(mutex);
  for (auto& [id, place] : std::exchange(arrived, {})) {
    auto node = loading.extract(id);
    if (!node) continue;  // it was cancelled meanwhile
    const ActiveJob::Beginning& beginning = node.mapped().beginning;
    const bool usable = place && (place->logits || !beginning.needs_logits);
    loaded[id] = {beginning, usable ? place : nullptr};
    queue.PutBack(std::move(node.mapped().job));
    --waiting_jobs;
  }
}

void Engine::Impl::TakeChoices() {
  std::lock_guard lock(mutex);
  for (auto at = choices.rbegin(); at != choices.rend(); ++at) {  // so that the first comes to the front
    const SharedPrompt& shared = *at->second->shared();
    if (!shared.place && shared.reader != nullptr) continue;
    queue.PutBack(std::move(at->second));
    --waiting_jobs;
  }
  std::erase_if(choices, [](const auto& entry) { return entry.second == nullptr; });
}

void Engine::Impl::Begin(std::unique_ptr<ActiveJob> job, size_t tokens, const StateCache::Place& known) {
  if (!job->Beginnings().empty()) {
    std::lock_guard lock(mutex);
    ++(known ? figures.cache_hits : figures.cache_misses);
  }
  const int slot = free_slots.back();
  free_slots.pop_back();
  running.push_back(std::move(job));
  ActiveJob& begun = *running.back();
  Guard(begun, [&] { begun.Begin(state, slot, *cache, tokens, known); });
}

void Engine::Impl::Step() {
  if (running.empty()) return;
  const auto start = Clock::now();
  std::map<const Adapters*, Pass> passes;
  int writing = 0;
  for (const auto& job : running) {
    if (job->reads_prompt()) continue;
    writing += job->writes();
    passes[job->adapters()].Append(*job, job->RowsFor(kPrefillRows));
  }
  if (writing == 0) GoOnInSlices(std::numeric_limits<double>::infinity());
  const int reading = AddReaders(writing, passes);
  for (auto& [adapters, pass] : passes) {
    pass.Compute(model, state, adapters);
    const Together together;
    pass.Advance();
  }
  if (writing > 0) pace.Note(writing, reading, std::chrono::duration<double>(Clock::now() - start).count());
  GoOnInSlices(pace.Slice(writing));
  std::lock_guard lock(mutex);
  ++figures.steps;
  figures.read_tokens += reading;
}

int Engine::Impl::AddReaders(int writing, std::map<const Adapters*, Pass>& passes) {
  std::vector<ActiveJob*> readers;
  for (const auto& job : running) {
    if (job->reads_prompt()) readers.push_back(job.get());
  }
  if (readers.empty() || slices.job != nullptr) return 0;
  const Pace::Room room = writing > 0 ? pace.RoomBeside(writing, options.rows) : Pace::Room{2 * kPrefillRows};
  if (room.rows == 0) return 0;
  const std::vector<ReadingTurns::Piece> pieces = turns.Share(readers, room.rows);
  if (room.in_slices) {
    slices.job = pieces.front().job;
    slices.rows = pieces.front().rows;
    slices.pass = {};
    slices.pass.Append(*slices.job, slices.rows);
    slices.work.Begin([this] { slices.pass.Compute(model, state, slices.job->adapters()); });
    return 0;
  }
  int reading = 0;
  for (const auto& [job, rows] : pieces) {
    passes[job->adapters()].Append(*job, rows);
    reading += rows;
  }
  return reading;
}

void Engine::Impl::GoOnInSlices(double seconds) {
  if (slices.job == nullptr) return;
  slices.work.Continue(seconds);
  if (slices.work.busy()) return;
  pace.NoteSlices(slices.rows, slices.work.longest_part_s());
  slices.job = nullptr;
  slices.pass.Advance();
  std::lock_guard lock(mutex);
  figures.read_tokens += slices.rows;
}

void Engine::Impl::CountWork() {
  int64_t tokens = ended_tokens;
  int reading = 0, writing = 0;
  for (const auto& job : running) {
    tokens += job->tokens();
    reading += job->reads_prompt();
    writing += !job->reads_prompt() && !job->has_ended();
  }
  std::lock_guard lock(mutex);
  rate.Add(tokens - figures.tokens);
  figures.tokens = tokens;
  figures.reading = reading;
  figures.writing = writing;
}

void Engine::Impl::Retire() {
  std::vector<std::unique_ptr<ActiveJob>> over;
  for (auto& job : running) {
    if (!job->has_ended()) continue;
    free_slots.push_back(job->slot());
    over.push_back(std::move(job));
  }
  std::erase(running, nullptr);
  const Together together;
  for (auto& job : over) End(std::move(job));
}

void Engine::Impl::End(std::unique_ptr<ActiveJob> job) {
  const JobResult& result = job->result();
  ended_tokens += job->tokens();
  if (job->shared() && job->shared()->reader == job.get()) job->shared()->reader = nullptr;
  {
    std::lock_guard lock(mutex);
    figures.failed += !result.error.empty();
    figures.cancelled += result.error.empty() && result.end == TextEnd::kInterrupted;
    figures.prompt_tokens += result.prompt_tokens;
    figures.cached_tokens += result.cached_tokens;
    const double took = std::chrono::duration<double>(result.reading + result.writing).count();
    job_s += 0.1 * (took - job_s);
  }
  try {
    job->Finish();
  } catch (const std::exception&) {
    // Nobody is left to tell.
  }
  const JobId id = job->id();
  job.reset();
  loaded.erase(id);
  std::lock_guard lock(mutex);
  live.erase(id);
  ended.notify_all();
}

int Engine::Impl::RetryAfter() const {
  const double rounds = static_cast<double>(queue.size()) / options.slots;
  return static_cast<int>(std::clamp(rounds * job_s, 1.0, 60.0));
}

Engine::Engine(const LoadedModel& model, const Tokenizer& tokenizer, Options options) {
  Check(options.slots >= 1, "the server must have at least 1 slot but is to have {}", options.slots);
  Check(options.queue >= 0, "the queue must have room for at least 0 jobs but is to have {}", options.queue);
  Check(options.rows >= 1, "a step must read at least 1 row of prompts but is to read {}", options.rows);
  Check(options.cache_bytes >= 0 && options.cache_dir_bytes >= 0, "the cache must have at least 0 bytes");
  impl_ = std::make_unique<Impl>(model, tokenizer, std::move(options));
}

Engine::~Engine() = default;

Engine::JobId Engine::Submit(Job job) {
  Impl& impl = *impl_;
  JobId id;
  {
    std::lock_guard lock(impl.mutex);
    id = ++impl.last_id;
  }
  auto active = std::make_unique<ActiveJob>(id, std::move(job), impl.model, impl.tokenizer);
  {
    std::lock_guard lock(impl.mutex);
    if (impl.draining) throw Draining("the server is about to end and takes no more requests");
    if (static_cast<int>(impl.live.size()) >= impl.options.slots + impl.options.queue) {
      ++impl.figures.refused;
      throw QueueFull{impl.RetryAfter()};
    }
    ++impl.figures.jobs;
    impl.live.insert(id);
    impl.queue.Push(std::move(active));
  }
  impl.work.notify_one();
  return id;
}

void Engine::Cancel(JobId id) {
  {
    std::lock_guard lock(impl_->mutex);
    if (!impl_->live.contains(id)) return;
    impl_->cancelled.insert(id);
  }
  impl_->work.notify_one();
}

void Engine::Drain(std::chrono::seconds limit) {
  std::unique_lock lock(impl_->mutex);
  impl_->draining = true;
  const auto none_left = [&] { return impl_->live.empty(); };
  if (impl_->ended.wait_for(lock, limit, none_left)) return;
  impl_->cancelled = impl_->live;
  impl_->work.notify_one();
  impl_->ended.wait(lock, none_left);
}

EngineFigures Engine::Figures() const {
  std::lock_guard lock(impl_->mutex);
  EngineFigures figures = impl_->figures;
  figures.waiting = static_cast<int>(impl_->queue.size()) + impl_->waiting_jobs;
  figures.tokens_per_s = impl_->rate.PerSecond();
  figures.cache_bytes = impl_->cache->bytes();
  figures.cache_entries = impl_->cache->entries();
  return figures;
}

const LoadedModel& Engine::model() const { return impl_->model; }
const Tokenizer& Engine::tokenizer() const { return impl_->tokenizer; }

}  // namespace linnet
