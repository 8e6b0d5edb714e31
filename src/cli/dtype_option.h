// --dtype of the commands that write a model: the types that its matrices can be written in.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "tensor/dtype.h"

namespace linnet {

/// Adds --dtype, which puts the name of a type, or "stored", into `name`.
CLI::Option* AddDtypeOption(CLI::App* command, std::string& name, const std::string& help);

/// The type of this name, none for "stored": as the matrices are.
std::optional<DType> TypeAskedFor(const std::string& name);

}  // namespace linnet
