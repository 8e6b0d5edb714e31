// A run as TensorBoard shows it: scalars and texts in event files (formats/event_file.h) of a folder.
//
//     events.out.tfevents.SECONDS.linnet.NNNN
//
// Every start of the program writes a file of its own, NNNN counted from 0: viewers read a folder's files in
// the order of their names and do not look back. Before, what earlier starts wrote of steps that are done
// again is cut off, so that the files together hold each step once; a viewer that is already looking is told
// by the new file to forget them.
#pragma once

#include <filesystem>
#include <optional>

#include "formats/event_file.h"
#include "train/log.h"

namespace linnet {

class TensorBoard {
 public:
  /// Creates the folder, if need be, and starts a file. `next_step` is the first that will be written. Throws
  /// Error if the folder cannot be written to or, where a run begins, holds the events of another.
  TensorBoard(const std::filesystem::path& folder, int64_t next_step);

  void Write(const StepRecord& record);

 private:
  std::optional<EventFile> file_;
};

}  // namespace linnet
