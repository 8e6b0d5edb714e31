// The Communicator of OpenMPI, as a module of its own (train/comm.h).
//
// Waiting asks again and again rather than blocking in the library: a process that was killed does not answer
// for ever, and those that wait for it are to say so and end.
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <thread>
#include <vector>

#include "train/comm.h"

namespace linnet {
namespace {

using Clock = std::chrono::steady_clock;

/// One process as the others know it.
struct Peer {
  std::array<char, 64> node;
  int pid;
  cpu_set_t cores;  // where it may run
};

std::vector<Peer> Introduce(int size) {
  Peer self{};
  gethostname(self.node.data(), self.node.size() - 1);
  self.pid = getpid();
  sched_getaffinity(0, sizeof self.cores, &self.cores);
  std::vector<Peer> peers(size);
  MPI_Allgather(&self, sizeof self, MPI_BYTE, peers.data(), sizeof self, MPI_BYTE, MPI_COMM_WORLD);
  return peers;
}

/// Processes of the node of `self` that may run on just the same cores.
int CountSharers(const std::vector<Peer>& peers, const Peer& self) {
  int sharers = 0;
  for (const Peer& peer : peers) sharers += peer.node == self.node && CPU_EQUAL(&peer.cores, &self.cores);
  return sharers;
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(int rank, int size, std::vector<Peer> peers)
      : Communicator(rank, size, CountSharers(peers, peers[rank])), peers_(std::move(peers)) {}
  ~MpiCommunicator() override { MPI_Finalize(); }

  std::unique_ptr<Transfer> Send(int to, std::span<const std::byte> bytes, int label) override {
    auto message = std::make_unique<Message>(*this);
    MPI_Isend(bytes.data(), Count(bytes.size()), MPI_BYTE, to, label, MPI_COMM_WORLD, &message->request);
    return message;
  }
  std::unique_ptr<Transfer> Receive(int from, std::span<std::byte> bytes, int label) override {
    auto message = std::make_unique<Message>(*this);
    MPI_Irecv(bytes.data(), Count(bytes.size()), MPI_BYTE, from, label, MPI_COMM_WORLD, &message->request);
    return message;
  }

 private:
  struct Message final : Transfer {
    explicit Message(const MpiCommunicator& others) : others(others) {}

    bool Done() override {
      int done = 0;
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      return done != 0;
    }

    /// First without a pause, as answers mostly come at once; then as one who leaves the core to others.
    void Wait() override {
      constexpr auto kShort = std::chrono::microseconds(100), kPause = std::chrono::microseconds(50);
      constexpr auto kPatience = std::chrono::milliseconds(100);
      const Clock::time_point start = Clock::now();
      Clock::time_point looked = start;
      while (!Done()) {
        const Clock::time_point now = Clock::now();
        if (now - start < kShort) {
          sched_yield();
          continue;
        }
        std::this_thread::sleep_for(kPause);
        if (now - looked < kPatience) continue;
        others.CheckAlive();
        looked = now;
      }
    }

    const MpiCommunicator& others;
    MPI_Request request = MPI_REQUEST_NULL;
  };

  static int Count(size_t bytes) {
    Check(bytes <= INT_MAX, "[openmpi] a message of {} bytes is too long", bytes);
    return static_cast<int>(bytes);
  }

  /// Of the processes on this node; mpirun knows about those on others.
  bool Ended(int rank) const {
    return peers_[rank].node == peers_[this->rank()].node && kill(peers_[rank].pid, 0) != 0 && errno == ESRCH;
  }

  void CheckAlive() const {
    bool first = true;  // of those that live
    for (int r = 0; r < rank(); ++r) first = first && Ended(r);
    for (int r = 0; r < size(); ++r) {
      if (!Ended(r)) continue;
      throw LostProcess(fmt::format("process {} of {} (pid {} on {}) has ended, so the run cannot go on", r,
                                    size(), peers_[r].pid, peers_[r].node.data()),
                        first);
    }
  }

  std::vector<Peer> peers_;
};

}  // namespace
}  // namespace linnet

extern "C" linnet::Communicator* LinnetConnect() {
  int level = 0, rank = 0, size = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return new linnet::MpiCommunicator(rank, size, linnet::Introduce(size));
}
