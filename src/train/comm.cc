#include "train/comm.h"

#include <dlfcn.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <vector>

namespace linnet {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "linnet_openmpi.so";
constexpr const char* kEntry = "LinnetConnect";

class OneProcess final : public Communicator {
 public:
  OneProcess() : Communicator(0, 1, 1) {}
  std::unique_ptr<Transfer> Send(int, std::span<const std::byte>, int) override {
    Fail("[comm] there is no other");
  }
  std::unique_ptr<Transfer> Receive(int, std::span<std::byte>, int) override {
    Fail("[comm] there is no other");
  }
};

/// How many processes were started together, by the variables that the launchers set; 1 if this one alone.
int StartedProcesses() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    const char* value = std::getenv(name);
    int processes = 0;
    if (value == nullptr) continue;
    const auto [end, error] = std::from_chars(value, value + std::strlen(value), processes);
    if (error == std::errc() && *end == '\0' && processes >= 1) return processes;
  }
  return 1;
}

/// The module beside the program or, for programs in a folder of their own, in the folder above.
fs::path FindModule() {
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& place : {folder, folder.parent_path()}) {
    if (!error && fs::exists(place / kModule, error)) return place / kModule;
  }
  return {};
}

}  // namespace

void Communicator::Sum(std::span<double> values) {
  if (size_ == 1) return;
  if (rank_ == 0) {
    std::vector<double> other(values.size());
    for (int from = 1; from < size_; ++from) {
      Receive(from, std::as_writable_bytes(std::span(other)))->Wait();
      for (size_t i = 0; i < values.size(); ++i) values[i] += other[i];
    }
  } else {
    Send(0, std::as_bytes(values))->Wait();
  }
  Broadcast(0, std::as_writable_bytes(values));
}

double Communicator::Sum(double value) {
  Sum(std::span(&value, 1));
  return value;
}

void Communicator::Broadcast(int from, std::span<std::byte> bytes) {
  if (rank_ != from) return Receive(from, bytes)->Wait();
  std::vector<std::unique_ptr<Transfer>> sent;
  for (int to = 0; to < size_; ++to) {
    if (to != from) sent.push_back(Send(to, bytes));
  }
  for (const auto& transfer : sent) transfer->Wait();
}

double Communicator::FromFirst(double value) {
  if (size_ > 1) Broadcast(0, std::as_writable_bytes(std::span(&value, 1)));
  return value;
}

void Communicator::Together(const std::function<void()>& body) {
  if (size_ == 1) return body();
  std::string message;
  bool failed = false;
  try {
    body();
  } catch (const std::exception& error) {
    failed = true;
    message = error.what();
  }
  std::vector<double> failures(size_);
  failures[rank_] = failed ? static_cast<double>(message.size()) + 1 : 0;
  Sum(failures);
  for (int rank = 0; rank < size_; ++rank) {
    if (failures[rank] == 0) continue;
    message.resize(static_cast<size_t>(failures[rank]) - 1);
    Broadcast(rank, std::as_writable_bytes(std::span(message)));
    throw CommonError(rank == 0 ? message : fmt::format("process {} of {}: {}", rank, size_, message));
  }
}

Communicator& Alone() {
  static OneProcess alone;
  return alone;
}

std::unique_ptr<Communicator> Connect() {
  const int started = StartedProcesses();
  if (started == 1) return nullptr;
  const fs::path path = FindModule();
  Check(
      !path.empty(),
      "mpirun started {} processes, but this linnet was built without OpenMPI: they would be {} runs of the "
      "same training; install libopenmpi-dev and openmpi-bin and run ./build again, or start one without "
      "mpirun",
      started, started);
  void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  Check(module != nullptr, "{}: cannot be opened: {}", path.string(), module == nullptr ? dlerror() : "");
  auto* entry = reinterpret_cast<Communicator* (*)()>(dlsym(module, kEntry));
  Check(entry != nullptr, "{}: is not linnet's: it has no {}", path.string(), kEntry);
  std::unique_ptr<Communicator> others(entry());
  Check(
      others->size() == started,
      "mpirun started {} processes, but OpenMPI knows of {}: was it the mpirun of another MPI? Use OpenMPI's",
      started, others->size());
  return others;
}

}  // namespace linnet
