#include "serve/engine.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>

#include "ops/ops.h"
#include "serve/active_job.h"
#include "serve/job_queue.h"
#include "serve/state_cache.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

/// One forward pass: jobs with the same adapters, and what is wanted of their rows.
struct Pass {
  struct Member {
    ActiveJob* job;
    int rows;
    Dim hidden = 0, logits = 0;  // rows that it gets of each
  };
  Batch batch;
  std::vector<Member> members;
  std::vector<int> logits_rows;  // of the wanted ones

  void Append(ActiveJob& job, int rows) {
    const auto first = static_cast<int>(batch.tokens.size());
    batch.Append(job.Next(rows), job.slot());
    const ActiveJob::Wanted wanted = job.WantedOf(rows);
    Member member{&job, rows};
    for (int row = wanted.first; row < rows; ++row) {
      if (wanted.logits) logits_rows.push_back(static_cast<int>(batch.wanted.size()));
      ++(wanted.logits ? member.logits : member.hidden);
      batch.wanted.push_back(first + row);
    }
    members.push_back(member);
  }
};

/// The first `rows` rows of what is left of a matrix.
std::span<const float> TakeRows(const float*& next, Dim rows, Dim width) {
  const std::span<const float> taken{next, static_cast<size_t>(rows * width)};
  next += rows * width;
  return taken;
}

}  // namespace

struct Engine::Impl {
  Impl(const LoadedModel& m, const Tokenizer& t, Options o)
      : model(m),
        tokenizer(t),
        options(std::move(o)),
        cache(options.cache_bytes),
        state(m.NewState(options.slots)) {
    for (int slot = options.slots; slot-- > 0;) free_slots.push_back(slot);
    figures.slots = options.slots;
    thread = std::thread([this] { Run(); });
  }
  ~Impl() {
    {
      std::lock_guard lock(mutex);
      draining = stopping = true;
    }
    work.notify_all();
    thread.join();
  }

  void Run();
  bool Wait();
  void EndCancelled();
  void Admit();
  void Start(std::unique_ptr<ActiveJob> job);
  void Step();
  std::map<const Adapters*, Pass> Plan();
  void Run(const Adapters* adapters, Pass& pass);
  void Retire();
  void End(std::unique_ptr<ActiveJob> job);

  const LoadedModel& model;
  const Tokenizer& tokenizer;
  const Options options;
  StateCache cache;

  // The engine's thread alone.
  State state;
  std::vector<int> free_slots;
  std::vector<std::unique_ptr<ActiveJob>> running;  // in the order in which they began

  mutable std::mutex mutex;  // of what follows
  std::condition_variable work, ended;
  JobQueue queue;
  std::unordered_set<JobId> live, cancelled;
  JobId last_id = 0;
  bool draining = false, stopping = false;
  EngineFigures figures;

  std::thread thread;
};

void Engine::Impl::Run() {
  while (Wait()) {
    EndCancelled();
    Admit();
    Step();
    Retire();
  }
}

bool Engine::Impl::Wait() {
  std::unique_lock lock(mutex);
  work.wait(lock, [&] { return stopping || !running.empty() || queue.size() > 0 || !cancelled.empty(); });
  if (stopping) cancelled = live;
  return !stopping || !live.empty();
}

void Engine::Impl::EndCancelled() {
  std::vector<std::unique_ptr<ActiveJob>> waiting;
  {
    std::lock_guard lock(mutex);
    for (JobId id : std::exchange(cancelled, {})) {
      if (auto job = queue.Remove(id)) waiting.push_back(std::move(job));
      for (const auto& job : running) {
        if (job->id() == id) job->Interrupt();
      }
    }
  }
  for (auto& job : waiting) {
    job->Interrupt();
    End(std::move(job));
  }
  Retire();
}

void Engine::Impl::Admit() {
  while (!free_slots.empty()) {
    std::unique_ptr<ActiveJob> job;
    {
      std::lock_guard lock(mutex);
      job = queue.Pop();
    }
    if (!job) break;
    Start(std::move(job));
  }
  Retire();
}

/// Calls `body`; the job fails with what it throws.
template <class Body>
void Guard(ActiveJob& job, const Body& body) {
  try {
    body();
  } catch (const std::exception& error) {
    job.Fail(error.what());
  }
}

void Engine::Impl::Start(std::unique_ptr<ActiveJob> job) {
  size_t tokens = 0;
  std::shared_ptr<const Snapshot> known;
  const auto beginnings = job->Beginnings();
  for (const auto& beginning : beginnings) {
    known = cache.Find(beginning.key, beginning.needs_logits);
    tokens = beginning.tokens;
    if (known) break;
  }
  if (!beginnings.empty()) {
    std::lock_guard lock(mutex);
    ++(known ? figures.cache_hits : figures.cache_misses);
  }
  const int slot = free_slots.back();
  free_slots.pop_back();
  running.push_back(std::move(job));
  ActiveJob& begun = *running.back();
  Guard(begun, [&] { begun.Begin(state, slot, cache, tokens, known); });
}

std::map<const Adapters*, Pass> Engine::Impl::Plan() {
  std::map<const Adapters*, Pass> passes;
  int writing = 0;
  for (const auto& job : running) {
    if (job->reads_prompt()) continue;
    writing += job->writes();
    passes[job->adapters()].Append(*job, job->RowsFor(kPrefillRows));
  }
  int room = writing > 0 ? options.rows : 2 * kPrefillRows;
  bool any = writing > 0;
  for (const auto& job : running) {
    if (!job->reads_prompt()) continue;
    const int rows = job->RowsFor(room);
    if (rows > room && any) continue;
    passes[job->adapters()].Append(*job, rows);
    room -= rows;
    any = true;
  }
  return passes;
}

void Engine::Impl::Run(const Adapters* adapters, Pass& pass) {
  Tensor hidden, logits;
  try {
    const AdaptersInForce in_force(adapters);
    // No rows wanted would mean all of them.
    const bool any = !pass.batch.wanted.empty();
    if (!any) pass.batch.wanted = {0};
    hidden = model.model->Hidden(pass.batch, state);
    if (!pass.logits_rows.empty())
      logits = ops::Linear(ops::Rows(hidden, pass.logits_rows), model.model->head());
  } catch (const std::exception& error) {
    // Some of their states are those of before the pass, some are not: none of them can go on.
    for (const Pass::Member& member : pass.members) member.job->Fail(error.what());
    return;
  }
  const float *next_hidden = hidden.data(), *next_logits = logits ? logits.data() : nullptr;
  for (const Pass::Member& member : pass.members) {
    const auto own_hidden = TakeRows(next_hidden, member.hidden + member.logits, hidden.dim(1));
    const auto own_logits = TakeRows(next_logits, member.logits, model.vocab());
    Guard(*member.job, [&] { member.job->Advance(member.rows, own_hidden, own_logits); });
  }
}

void Engine::Impl::Step() {
  if (running.empty()) return;
  auto passes = Plan();
  for (auto& [adapters, pass] : passes) Run(adapters, pass);
  std::lock_guard lock(mutex);
  ++figures.steps;
}

void Engine::Impl::Retire() {
  std::vector<std::unique_ptr<ActiveJob>> over;
  for (auto& job : running) {
    if (!job->has_ended()) continue;
    free_slots.push_back(job->slot());
    over.push_back(std::move(job));
  }
  std::erase(running, nullptr);
  for (auto& job : over) End(std::move(job));
}

void Engine::Impl::End(std::unique_ptr<ActiveJob> job) {
  {
    std::lock_guard lock(mutex);
    const JobResult& result = job->result();
    figures.failed += !result.error.empty();
    figures.cancelled += result.error.empty() && result.end == TextEnd::kInterrupted;
    figures.prompt_tokens += result.prompt_tokens;
    figures.cached_tokens += result.cached_tokens;
  }
  try {
    job->Finish();
  } catch (const std::exception&) {
    // Nobody is left to tell.
  }
  const JobId id = job->id();
  job.reset();
  std::lock_guard lock(mutex);
  live.erase(id);
  ended.notify_all();
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
    Check(!impl.draining, "the server is about to end and takes no more requests");
    if (static_cast<int>(impl.live.size()) >= impl.options.slots + impl.options.queue) {
      ++impl.figures.refused;
      throw QueueFull{1};
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
  figures.waiting = static_cast<int>(impl_->queue.size());
  figures.cache_bytes = impl_->cache.bytes();
  figures.cache_entries = impl_->cache.entries();
  return figures;
}

const LoadedModel& Engine::model() const { return impl_->model; }
const Tokenizer& Engine::tokenizer() const { return impl_->tokenizer; }

}  // namespace linnet
