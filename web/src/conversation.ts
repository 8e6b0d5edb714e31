// A conversation is a tree: every message knows the one before it, and two that follow the same one are
// branches. What is shown is the path from the first message to the `leaf`.

export interface TokenScore {
  token: string;
  bytes?: number[] | null;
  logprob: number;
  top_logprobs: { token: string; bytes?: number[] | null; logprob: number }[];
}

export interface Usage {
  prompt: number;
  cached: number;
  tokens: number;
  seconds: number; // from the first token to the last
}

export interface Message {
  id: string;
  parent: string | null;
  role: "user" | "assistant";
  text: string;
  thought?: string;
  created: number; // milliseconds since 1970
  end?: "stop" | "length" | "stopped" | "error";
  error?: string;
  usage?: Usage;
  model?: string;
  scores?: TokenScore[];
  /// The server's name of the state after this message, if it keeps one.
  response?: string;
}

export interface Conversation {
  id: string;
  title: string;
  /// A title that somebody chose stays; others follow the first message.
  named?: boolean;
  created: number;
  updated: number;
  messages: Record<string, Message>;
  leaf: string | null;
  system: string;
  /// The server's name of the state that it begins with, if that is not the beginning of all.
  start?: string;
}

export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) =>
    byte.toString(36).padStart(2, "0"),
  ).join("");
}

export function newConversation(system = ""): Conversation {
  const now = Date.now();
  return {
    id: newId(),
    title: "New conversation",
    created: now,
    updated: now,
    messages: {},
    leaf: null,
    system,
  };
}

/// From the first message to `leaf`.
export function pathTo(conversation: Conversation, leaf: string | null): Message[] {
  const path: Message[] = [];
  for (let id = leaf; id !== null;) {
    const message: Message | undefined = conversation.messages[id];
    if (!message || path.length > 100_000) break;
    path.push(message);
    id = message.parent;
  }
  return path.reverse();
}

/// What follows a message (or nothing: the first ones), oldest first.
export function childrenOf(conversation: Conversation, id: string | null): Message[] {
  return Object.values(conversation.messages)
    .filter((message) => message.parent === id)
    .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

/// The end of the branch on which `id` lies: always the newest that follows.
export function newestLeaf(conversation: Conversation, id: string): string {
  let leaf = id;
  for (;;) {
    const next = childrenOf(conversation, leaf).pop();
    if (!next) return leaf;
    leaf = next.id;
  }
}

/// With a message more, which becomes the leaf.
export function withMessage(conversation: Conversation, message: Message): Conversation {
  const first = conversation.leaf === null && message.role === "user" && !conversation.named;
  return {
    ...conversation,
    title:
      first && Object.keys(conversation.messages).length === 0 ? titleOf(message.text) : conversation.title,
    updated: Date.now(),
    messages: { ...conversation.messages, [message.id]: message },
    leaf: message.id,
  };
}

export function withChange(conversation: Conversation, id: string, change: Partial<Message>): Conversation {
  const message = conversation.messages[id];
  if (!message) return conversation;
  const messages = { ...conversation.messages, [id]: { ...message, ...change } };
  return { ...conversation, updated: Date.now(), messages };
}

/// Without a message and all that follows it; what is shown then ends before it.
export function withoutMessage(conversation: Conversation, id: string): Conversation {
  const message = conversation.messages[id];
  if (!message) return conversation;
  const messages = { ...conversation.messages };
  const remove = (gone: string) => {
    for (const child of childrenOf(conversation, gone)) remove(child.id);
    delete messages[gone];
  };
  remove(id);
  const left = { ...conversation, messages, updated: Date.now() };
  if (conversation.leaf === null || messages[conversation.leaf]) return left;
  const sibling = childrenOf(left, message.parent).pop();
  return { ...left, leaf: sibling ? newestLeaf(left, sibling.id) : message.parent };
}

/// The first line of a message, cut at a word.
export function titleOf(text: string): string {
  const line = text.trim().split("\n")[0]!.replace(/\s+/g, " ");
  if (line.length <= 48) return line || "New conversation";
  const cut = line.slice(0, 48);
  return cut.slice(0, Math.max(cut.lastIndexOf(" "), 24)) + "…";
}

const kFormat = "linnet conversations 1";

export function exportText(conversations: Conversation[]): string {
  return JSON.stringify({ format: kFormat, conversations }, null, 1);
}

/// What exportText() wrote, checked field by field: a file may hold anything. Throws Error saying what is
/// wrong.
export function importText(text: string): Conversation[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    throw new Error("The file is no JSON.");
  }
  const { format, conversations } = (file ?? {}) as { format?: unknown; conversations?: unknown };
  if (format !== kFormat || !Array.isArray(conversations))
    throw new Error("The file holds no conversations of linnet.");
  return conversations.map(readConversation);
}

function readConversation(any: unknown): Conversation {
  const given = (any ?? {}) as Record<string, unknown>;
  const messages: Record<string, Message> = {};
  for (const [id, value] of Object.entries((given.messages ?? {}) as Record<string, unknown>)) {
    const m = (value ?? {}) as Record<string, unknown>;
    if (typeof m.text !== "string" || (m.role !== "user" && m.role !== "assistant"))
      throw new Error("A message is broken.");
    messages[id] = {
      id,
      parent: typeof m.parent === "string" ? m.parent : null,
      role: m.role,
      text: m.text,
      created: Number(m.created) || 0,
      ...(typeof m.thought === "string" ? { thought: m.thought } : {}),
      ...(m.end === "length" || m.end === "stopped" ? { end: m.end } : { end: "stop" as const }),
      ...(typeof m.model === "string" ? { model: m.model } : {}),
    };
  }
  for (const message of Object.values(messages)) {
    if (message.parent !== null && !messages[message.parent])
      throw new Error("A message follows one that is not there.");
  }
  const leaf = typeof given.leaf === "string" && messages[given.leaf] ? given.leaf : null;
  return {
    id: newId(),
    title: typeof given.title === "string" ? given.title.slice(0, 200) : "Imported",
    named: given.named === true,
    created: Number(given.created) || Date.now(),
    updated: Number(given.updated) || Date.now(),
    messages,
    leaf:
      leaf ??
      (Object.keys(messages).length
        ? newestLeaf({ messages } as Conversation, Object.keys(messages)[0]!)
        : null),
    system: typeof given.system === "string" ? given.system : "",
  };
}
