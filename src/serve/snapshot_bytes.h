// A snapshot as bytes for a store: little-endian,
//
//   header   "LINSTATE", u32 version (1), u32 variables, 16 characters: fingerprint of the model,
//            i64 tokens seen, u64 bytes in all, u64 FNV-1a of everything after the header and of the header
//            without this
//   shapes   of each variable and of the logits: i64 rank (-1: not known, there are no values), 4 i64 extents
//   values   f32, in the same order
//
// What is read may have been damaged on its way, or come from somebody who means harm: nothing is believed
// before it was checked.
#pragma once

#include <string>
#include <string_view>

#include "nn/state_file.h"

namespace linnet {

std::string PackSnapshot(const Snapshot& snapshot, const std::string& fingerprint);

/// Throws Error, beginning with `name` (what the bytes are called), if they are no whole snapshot of a model
/// of this fingerprint. Takes no more memory than `bytes`.
Snapshot UnpackSnapshot(std::string_view bytes, const std::string& fingerprint, const std::string& name);

/// Bytes of its values.
int64_t SnapshotBytes(const Snapshot& snapshot);

}  // namespace linnet
