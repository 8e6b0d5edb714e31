#include "serve/sliced_work.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "nn/breaks.h"

namespace linnet {

SlicedWork::~SlicedWork() {
  if (!thread_.joinable()) return;
  Finish();
  {
    const std::lock_guard lock(mutex_);
    works_ = ending_ = true;
  }
  switched_.notify_one();
  thread_.join();
}

void SlicedWork::Begin(std::function<void()> work) {
  work_ = std::move(work);
  busy_ = true;
  longest_part_s_ = 0;
  if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
}

void SlicedWork::Continue(double seconds) {
  if (!busy_) return;
  until_ = Clock::now() + Seconds(seconds);
  std::unique_lock lock(mutex_);
  Switch(true, lock);
}

void SlicedWork::Finish() {
  while (busy_) Continue(std::numeric_limits<double>::infinity());
}

void SlicedWork::Switch(bool to_work, std::unique_lock<std::mutex>& lock) {
  works_ = to_work;
  switched_.notify_one();
  switched_.wait(lock, [&] { return works_ != to_work; });
}

void SlicedWork::Run() {
  const Breaks breaks([this] { AtBreak(); });
  std::unique_lock lock(mutex_);
  switched_.wait(lock, [this] { return works_; });
  while (!ending_) {
    lock.unlock();
    part_began_ = Clock::now();
    std::exchange(work_, nullptr)();
    NotePart();
    busy_ = false;
    lock.lock();
    Switch(false, lock);
  }
}

void SlicedWork::NotePart() {
  longest_part_s_ = std::max(longest_part_s_, Seconds(Clock::now() - part_began_).count());
}

void SlicedWork::AtBreak() {
  NotePart();
  if (Clock::now() + Seconds(longest_part_s_) > until_) {
    std::unique_lock lock(mutex_);
    Switch(false, lock);
  }
  part_began_ = Clock::now();
}

}  // namespace linnet
