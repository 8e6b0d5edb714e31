// The two containers that torch.save has put around its pickle and its storages.
//
// Since torch 1.6, a zip archive: ARCHIVE/data.pkl, ARCHIVE/byteorder, and ARCHIVE/data/KEY for each storage.
// Before, a stream: five pickles (a magic number; the protocol's version, 1001; a dict about the machine; the
// object; the list of storage keys), then for each key of the list an i64 number of elements and the
// elements. Source: torch/serialization.py.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/pickle.h"

namespace linnet {

struct PthContainer {
  Pickle pickle;
  std::vector<std::byte> unpacked;  // what the pickle's strings point to, if not to the file
  std::string place;                // what stands in front of a storage's key in messages: "archive/data/"
  /// The bytes of a storage where they lie in the file; none if it is not there. Throws Error if they cannot
  /// be used in place.
  std::function<std::optional<std::span<const std::byte>>(std::string_view key)> storage;
};

/// Whether a file begins like a stream.
bool IsPthStream(std::string_view text);

/// Both read the directory of `file`, which the result keeps mapped. They throw Error, naming what was found,
/// if it is malformed.
PthContainer ReadPthArchive(const MappedFile& file);
PthContainer ReadPthStream(const MappedFile& file);

}  // namespace linnet
