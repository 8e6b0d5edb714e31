// Names: the one place where the tensors of other programs' files get the names and layouts of BlinkDL's
// published checkpoints, which the models ask for.
//
// A file speaks one dialect, recognised by names that only that dialect has. A dialect is a table of rules
// (formats/dialects.cc): a pattern, the published name, and what has to be done to the values.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "formats/checkpoint.h"
#include "formats/relayout.h"

namespace linnet {

/// In patterns, '#' stands for a layer's number, '%' for that of a file which counts layers from 1, and a '*'
/// at the end for whatever follows.
struct NameRule {
  std::string_view pattern;
  std::string_view published;  // empty: a tensor that no computation uses, passed over
  Relayout how = Relayout::kSame;
  int index = 0, count = 0;  // of Relayout::kPart
};

struct Dialect {
  std::string_view title;  // for messages
  bool (*is_spoken)(const Checkpoint& file);
  /// The first pattern that fits a name counts; rules that follow with the same pattern are for further
  /// tensors made of it.
  std::span<const NameRule> rules;
  bool keeps_others;              // a name without a rule stays as it is; else it is an error
  std::string_view letters = {};  // what its tokens stand for, where each is a byte and no file says which
};

/// Names that a trainer's wrapper has put something in front of. May be nested.
const Dialect& WrappersDialect();
/// All others.
std::span<const Dialect> Dialects();

/// The same the other way round: what a file of a dialect calls the tensor that is published as `name`, and
/// the rule that says so; none if it has no place for it.
struct StoredName {
  std::string name;
  const NameRule* rule;
};
std::optional<StoredName> StoredNameOf(const Dialect& dialect, const std::string& name);
/// llama.cpp's names for an architecture, "rwkv6" or "rwkv7"; null for others.
const Dialect* GgufDialect(std::string_view architecture);

/// `file` under published names and in published layouts: itself if it has them already. Throws Error, naming
/// the tensor as the file does, if a tensor has no place in its dialect, is not of the shape that it needs,
/// or if two stand for the same.
std::unique_ptr<Checkpoint> WithPublishedNames(std::unique_ptr<Checkpoint> file);

}  // namespace linnet
