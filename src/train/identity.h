// What data a run learns from, as its checkpoints remember it: names, lengths, and a fingerprint of what the
// files hold. Other data would make a resumed run another run.
#pragma once

#include <filesystem>
#include <string>

#include "train/data.h"

namespace linnet {

/// Of the length and of 64 pieces of 4 KiB that lie evenly over the file, its first and last bytes among
/// them; 16 hexadecimal digits.
std::string Fingerprint(const std::filesystem::path& file);

/// The files as a JSON array: [{"name": ..., "bytes": ..., "fingerprint": ...}, ...].
std::string DataIdentity(const Dataset& data);

/// Throws Error, naming --data and what differs, unless the data `now` is what the checkpoint called `where`
/// has as `saved`. A checkpoint of an earlier version has no fingerprints, which then count as equal.
void CheckSameData(const std::string& now, const std::string& saved, const std::string& where);

}  // namespace linnet
