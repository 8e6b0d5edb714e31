// The log of a run: one JSON object a line and step,
//
//     {"step": 0, "loss": 5.54, "bits_per_byte": 8.0, "val_loss": null, "lr": 6e-06, "grad_norm": 1.9,
//     "tokens_per_s": 8123.4,
//      "seconds": 0.51, "skipped": false}
//
// Where they were asked for, "eval_loss" (--eval-data), "sample" (--sample-every), "ema_val_loss", that of
// averaged weights, and "quality" (of a task), follow; of models with spiking neurons "firing_rate", the
// share of ones that those of the blocks said. Each return to a checkpoint has a line,
//
//     {"step": 50, "event": "return", "from": 57, "why": "the loss is not a finite number"}
//
// Losses are in nats a token; numbers are written so that reading them back gives the same double; what is
// not finite, or was not measured, is null.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace linnet {

struct StepRecord {
  int64_t step = 0;  // counted from 0
  double loss = 0;
  std::optional<double> val_loss;  // after the step
  double lr = 0;
  double gradient_norm = 0;
  double tokens_per_s = 0;
  double seconds = 0;  // since the start of the run, the time of earlier starts of the program included
  bool skipped = false;
  std::optional<double> eval_loss = std::nullopt;     // of --eval-data, after the step
  std::optional<std::string> sample = std::nullopt;   // what the model then wrote, valid UTF-8
  bool tokens_are_bytes = true;                       // bits_per_byte is null where they are not
  std::optional<double> ema_val_loss = std::nullopt;  // that of the averaged weights
  std::optional<double> quality = std::nullopt;       // on what is held out (TrainObserver::Quality)
  std::optional<double> firing_rate = std::nullopt;   // of spiking neurons in the step's forward passes
};

/// Nats a token to bits a token: bits a byte, where tokens are bytes.
double BitsPerByte(double nats);

class RunLog {
 public:
  /// Opens the log for appending; lines of steps from `next_step` on, which a killed run left, are cut off.
  /// Throws Error if it cannot be written or is a file of another kind.
  RunLog(const std::filesystem::path& path, int64_t next_step);

  /// Appends a line and flushes it. Throws Error if that fails.
  void Write(const StepRecord& record);
  /// Appends that the run went back from step `from` to step `to`.
  void WriteReturn(int64_t to, int64_t from, const std::string& why);

 private:
  void WriteLine(const std::string& line);

  std::filesystem::path path_;
  std::ofstream file_;
};

/// The records of a log, in order. Lines that are none, such as the torn last one of a killed run, are left
/// out.
std::vector<StepRecord> ReadLog(const std::filesystem::path& path);

}  // namespace linnet
