// Communicator: the processes of one training run. Each has a number, its rank; rank 0 writes files and
// speaks.
//
// What a library of messages must provide are two calls: bytes to one process and bytes from one. Sums,
// broadcasts and agreement are built on them here, in a fixed order, so that results are the same to the bit
// on every process and in every run. The one library is OpenMPI; it lies in a module of its own
// (train/openmpi/) that only a process started by mpirun opens: linking it would cost every start of the
// program 17 ms.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/check.h"

namespace linnet {

/// Bytes under way. They must stay where they are until it is done.
class Transfer {
 public:
  virtual ~Transfer() = default;
  /// Whether it is; moves all transfers of this process on.
  virtual bool Done() = 0;
  /// Returns when it is. Throws LostProcess if the process at the other end, or any other, has ended.
  virtual void Wait() = 0;
};

/// Another process of the run has ended, so this one cannot go on.
class LostProcess : public Error {
 public:
  /// `speaks`: of those that are left, this one should say it.
  LostProcess(const std::string& message, bool speaks) : Error(message), speaks(speaks) {}
  bool speaks;
};

/// An error that all processes know of and end with; rank 0 says it.
class CommonError : public Error {
  using Error::Error;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Processes that may run on the same cores as this one, itself included.
  int sharers() const { return sharers_; }

  /// Between two processes, messages of the same `label` are received in the order in which they were sent.
  virtual std::unique_ptr<Transfer> Send(int to, std::span<const std::byte> bytes, int label = 0) = 0;
  virtual std::unique_ptr<Transfer> Receive(int from, std::span<std::byte> bytes, int label = 0) = 0;

  // What follows is called by all processes, in the same order.

  /// Puts the sum over all processes, added up by rank, in place of each value.
  void Sum(std::span<double> values);
  double Sum(double value);
  void Broadcast(int from, std::span<std::byte> bytes);
  /// Rank 0's value.
  double FromFirst(double value);
  /// Whether any process says so.
  bool Any(bool here) { return Sum(here ? 1 : 0) > 0; }
  /// Runs `body`, which must not communicate, and throws on all processes if it throws on any: CommonError
  /// with the message of the lowest rank that has one.
  void Together(const std::function<void()>& body);

 protected:
  Communicator(int rank, int size, int sharers) : rank_(rank), size_(size), sharers_(sharers) {}

 private:
  int rank_, size_, sharers_;
};

/// A run of one process.
Communicator& Alone();

/// The processes that mpirun started with this one, or null where none did. Throws Error if it did and this
/// build cannot talk to them: that many copies of the same run would help nobody.
std::unique_ptr<Communicator> Connect();

}  // namespace linnet
