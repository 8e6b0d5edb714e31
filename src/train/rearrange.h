// Makes new binidx files (formats/binidx.h) of the documents of others.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "formats/binidx.h"

namespace linnet {

/// Told how many documents of how many were written.
using DocumentsDone = std::function<void(int64_t done, int64_t total)>;

/// All documents of `parts`, one after the other. Throws Error if conversations in them were written with
/// different templates.
void MergeData(const std::vector<Binidx>& parts, const std::filesystem::path& out, const DocumentsDone& done);

/// The documents in a pseudo-random order.
void ShuffleData(const Binidx& data, const std::filesystem::path& out, uint64_t seed,
                 const DocumentsDone& done);

/// A part `held_out` of the documents, drawn at random but at least one, goes to `held_out_name`, the others
/// to `training_name`, both in their order. Throws Error if that leaves one of them empty.
void SplitData(const Binidx& data, const std::filesystem::path& training_name,
               const std::filesystem::path& held_out_name, double held_out, uint64_t seed,
               const DocumentsDone& done);

}  // namespace linnet
