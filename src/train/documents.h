// Documents as people keep them, and how they are written down for a model: a line of JSON becomes pieces of
// text, some of which are to be learnt.
//
//   {"text": "..."}                                          all of it is learnt
//   {"messages": [{"role": "user", "content": "..."}, ...]}  a conversation, written with a chat template
//   {"question": "...", "answer": "..."}                     one of a single turn
//   {"questions": ["...", ...], "answer": "..."}             one for each way to ask
//
// Of a conversation the answers are learnt, with the text or the end of the document by which the model says
// that it has finished; what the model is told is not. With "end": false beside "messages" the last answer is
// only the beginning of one: where it breaks off, its end is not learnt.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/chat.h"

namespace linnet {

/// Some text of a document; its first `learnt` bytes are to be learnt. Pieces are tokenised one by one, as in
/// a chat.
struct Piece {
  std::string text;
  size_t learnt;
};

using Pieces = std::vector<Piece>;

/// A document without the end-of-text token behind it.
struct Document {
  Pieces pieces;
  bool end = true;  // whether that token is to be learnt
};

struct Message {
  std::string role, content;  // role: system, user, assistant
};

/// Writes a conversation. Throws Error unless it is [system] user assistant user assistant ... .
Pieces WriteConversation(const std::vector<Message>& messages, const ChatTemplate& chat);

/// The documents in a line of a .jsonl file. Throws Error, without the place of the line, if it is none of
/// the above.
std::vector<Document> ReadJsonLine(std::string_view line, const ChatTemplate& chat);

}  // namespace linnet
