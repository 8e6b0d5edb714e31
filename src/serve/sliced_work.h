// SlicedWork: something long that is done a slice at a time. It runs on a thread of its own, and only while
// somebody waits for it in Continue(), so that of the two one runs at a time. It can stop at the breaks that
// it offers (nn/breaks.h).
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace linnet {

class SlicedWork {
 public:
  SlicedWork() = default;
  /// Does what is left.
  ~SlicedWork();
  SlicedWork(const SlicedWork&) = delete;
  SlicedWork& operator=(const SlicedWork&) = delete;

  /// Takes on `work`, which must not throw, when that before is done.
  void Begin(std::function<void()> work);
  /// Whether there is any left to do.
  bool busy() const { return busy_; }
  /// Goes on to a break after which the next part would take longer than what is left of `seconds`; at least
  /// to the next one.
  void Continue(double seconds);
  void Finish();
  /// The longest time between two breaks of the work that was begun last, as far as it is done.
  double longest_part_s() const { return longest_part_s_; }

 private:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;

  // The other thread.
  void Run();
  void AtBreak();
  void NotePart();

  /// Lets the other thread run until it gives back; with the lock.
  void Switch(bool to_work, std::unique_lock<std::mutex>& lock);

  std::function<void()> work_;
  bool busy_ = false;
  double longest_part_s_ = 0;
  std::chrono::time_point<Clock, Seconds> until_;
  Clock::time_point part_began_;

  std::mutex mutex_;
  std::condition_variable switched_;
  bool works_ = false;  // whose turn it is
  bool ending_ = false;
  std::thread thread_;  // from the first work on
};

}  // namespace linnet
