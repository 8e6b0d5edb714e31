// A binidx as data: the last documents are held out, the others are learnt from in one of two ways.
//
// Documents packed (the default). Every epoch goes through all documents in a new pseudo-random order. A
// document is a sequence of its own, with a state of its own; one longer than ctx is cut into pieces of ctx.
// As many pieces go into a pass as fit into batch * ctx tokens, whole: a question is never torn from its
// answer. Pieces without anything to learn are left out. Every second document begins behind an end-of-text
// token, as after another document, the others with the initial state alone: prompts come both ways.
//
// As a stream, in RWKV-LM's order (train/sample_order.h): samples of ctx tokens, whatever documents they cut.
#pragma once

#include <memory>
#include <string>

#include "train/data.h"

namespace linnet {

/// Opens a binidx. Throws Error, naming file and remedy, if it is broken, has ids that the tokenizer has not,
/// nothing to learn, or too few documents or tokens for the options.
std::unique_ptr<Dataset> OpenTokenFiles(const std::string& name, const DataOptions& options);

}  // namespace linnet
