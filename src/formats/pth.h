// .pth: what torch.save writes: a pickle of nested dicts whose leaves are tensors that refer to storages, in
// one of two containers (formats/pth_container.h).
//
// A pickle is a program for a small stack machine that may call any Python function. This reader knows the
// few calls that build tensors, dicts and parameters, builds those, and refuses everything else by name. No
// code is ever run.
#pragma once

#include "base/file.h"
#include "formats/contents.h"

namespace linnet {

/// Reads the directory of a .pth file, zip or stream, whose top object is a dict of tensors (a state dict),
/// or a dict that has one under "model", "state_dict" or "module". Throws Error, naming what was found, for
/// anything else.
std::unique_ptr<Checkpoint> OpenPth(const MappedFile& file);

/// Writes `contents` as torch.save writes a dict of tensors, atomically; metadata have no place in it. Throws
/// Error if a tensor is of a block type.
void WritePth(const std::filesystem::path& path, const Contents& contents);

}  // namespace linnet
