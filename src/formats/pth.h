// .pth: what torch.save writes since version 1.6: a zip archive with a pickle of nested dicts
// (ARCHIVE/data.pkl) whose leaves are tensors that refer to storages (ARCHIVE/data/KEY).
//
// A pickle is a program for a small stack machine that may call any Python function. This reader knows the
// few calls that build tensors, dicts and parameters, builds those, and refuses everything else by name. No
// code is ever run.
#pragma once

#include "base/file.h"
#include "formats/checkpoint.h"

namespace linnet {

/// Reads the directory of a zip .pth file whose top object is a dict of tensors (a state dict).
/// Throws Error, naming what was found, for anything else.
std::unique_ptr<Checkpoint> OpenPth(const MappedFile& file);

}  // namespace linnet
