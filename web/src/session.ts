// What the page does with conversations: the one that is open, the answers that are being written, and the
// library that keeps them all.
import { ApiError, chat, offers, respond, type AnswerPart, type ChatTurn, type Offered } from "./api";
import {
  newConversation,
  newId,
  newestLeaf,
  pathTo,
  withChange,
  withMessage,
  withoutMessage,
  type Conversation,
  type Message,
} from "./conversation";
import { openLibrary, type Shelf } from "./library";
import { sampling, samplingFields, view } from "./settings";
import { Store } from "./store";

export const conversations = new Store<Conversation[]>([]);
export const current = new Store<Conversation>(newConversation());
/// The message that is being written, of whatever conversation.
export const writing = new Store<{ conversation: string; message: string } | null>(null);
export const offered = new Store<Offered>({
  models: [],
  loras: [],
  states: [],
});
/// Said to everybody, screen readers included, and gone after a while.
export const notice = new Store<{ text: string; bad: boolean } | null>(null);
export const libraryLasts = new Store(true);

let shelf: Shelf | null = null;
let stopper: AbortController | null = null;

export function say(text: string, bad = false) {
  const said = { text, bad };
  notice.value = said;
  setTimeout(() => notice.value === said && (notice.value = null), bad ? 8000 : 3500);
}

export async function openEverything() {
  const library = await openLibrary();
  shelf = library.shelf;
  libraryLasts.value = library.lasting;
  conversations.value = library.conversations.sort((a, b) => b.updated - a.updated);
  const wanted = location.hash.match(/^#\/chat\/(\w+)/)?.[1];
  const open = conversations.value.find((conversation) => conversation.id === wanted);
  if (open) current.value = open;
  void askWhatIsOffered();
}

export async function askWhatIsOffered() {
  try {
    offered.value = await offers();
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) say((error as Error).message, true);
  }
}

/// Puts a changed conversation in its places: on the screen, in the list, on the shelf.
function keep(conversation: Conversation) {
  if (current.value.id === conversation.id) current.value = conversation;
  list(conversation);
  shelf?.put(conversation).catch(() => say("The browser has no room for this conversation.", true));
}

function list(conversation: Conversation) {
  const others = conversations.value.filter((other) => other.id !== conversation.id);
  conversations.value = [conversation, ...others].sort((a, b) => b.updated - a.updated);
}

/// Shows a conversation while an answer is being written, many times a second: the list waits until it is
/// left or whole.
function show(conversation: Conversation) {
  if (current.value.id === conversation.id) current.value = conversation;
  else list(conversation);
}

function leaveCurrent() {
  if (conversations.value.some((other) => other.id === current.value.id)) list(current.value);
}

function find(id: string): Conversation | undefined {
  return current.value.id === id
    ? current.value
    : conversations.value.find((conversation) => conversation.id === id);
}

export function change(id: string, change: Partial<Conversation>) {
  const conversation = find(id);
  if (!conversation) return;
  const changed = { ...conversation, ...change };
  const empty = Object.keys(changed.messages).length === 0;
  if (empty && current.value.id === id && !conversations.value.some((other) => other.id === id))
    current.value = changed;
  else keep(changed);
}

export function openConversation(id: string) {
  const conversation = find(id);
  if (!conversation) return;
  leaveCurrent();
  current.value = conversation;
  location.hash = `#/chat/${id}`;
}

export function startConversation() {
  leaveCurrent();
  current.value = newConversation(current.value.system);
  location.hash = "#/chat";
}

export function removeConversation(id: string) {
  if (writing.value?.conversation === id) stop();
  conversations.value = conversations.value.filter((conversation) => conversation.id !== id);
  shelf?.remove(id).catch(() => {});
  if (current.value.id === id) startConversation();
}

export function addConversations(added: Conversation[]) {
  for (const conversation of added) keep(conversation);
  if (added[0]) openConversation(added[0].id);
}

/// Shows the branch on which a message lies.
export function goTo(message: string, exactly = false) {
  const conversation = current.value;
  change(conversation.id, { leaf: exactly ? message : newestLeaf(conversation, message) });
}

/// Says something after the message `parent` and has it answered.
export function ask(text: string, parent: string | null = current.value.leaf) {
  const message: Message = { id: newId(), parent, role: "user", text, created: Date.now() };
  const conversation = withMessage(current.value, message);
  keep(conversation);
  if (!location.hash.startsWith(`#/chat/${conversation.id}`)) location.hash = `#/chat/${conversation.id}`;
  return answer(conversation.id, message.id);
}

/// Another answer to what the message answers; the first one stays as a branch.
export function retry(id: string) {
  const parent = current.value.messages[id]?.parent;
  if (parent) return answer(current.value.id, parent);
}

/// Goes on with an answer that was cut off.
export function goOn(id: string) {
  return answer(current.value.id, current.value.messages[id]!.parent!, id);
}

export function removeMessage(id: string) {
  keep(withoutMessage(current.value, id));
}

export function stop() {
  stopper?.abort();
}

export function turnsOf(conversation: Conversation, leaf: string | null): ChatTurn[] {
  const turns: ChatTurn[] = pathTo(conversation, leaf)
    .filter((message) => message.text !== "")
    .map((message) => ({ role: message.role, content: message.text }));
  return conversation.system.trim() ? [{ role: "system", content: conversation.system }, ...turns] : turns;
}

/// The last answer on a path whose state the server keeps, and how many turns that is.
function keptOf({ start }: Conversation, path: Message[]): { response: string; turns: number } | null {
  for (let i = path.length - 1; i >= 0; --i) {
    const response = path[i]!.response;
    if (response)
      return { response, turns: path.slice(0, i + 1).filter((message) => message.text !== "").length };
  }
  return start ? { response: start, turns: 0 } : null;
}

async function answer(conversationId: string, parent: string, begun?: string) {
  stop();
  const conversation = find(conversationId)!;
  const aborter = new AbortController();
  stopper = aborter;
  const id = begun ?? newId();
  const turns = turnsOf(conversation, begun ?? parent);
  if (begun) {
    show(withChange(conversation, id, { end: undefined, error: undefined } as Partial<Message>));
  } else {
    const model = sampling.value.model || offered.value.models[0]?.id;
    const empty: Message = {
      id,
      parent,
      role: "assistant",
      text: "",
      created: Date.now(),
      ...(model ? { model } : {}),
    };
    show(withMessage(conversation, empty));
  }
  writing.value = { conversation: conversationId, message: id };
  const so: Answer = new Answer(conversationId, id);
  try {
    const fields = samplingFields(sampling.value, view.value.scores);
    const parts =
      view.value.onServer && !begun
        ? respond(turns, keptOf(conversation, pathTo(conversation, parent)), fields, aborter.signal)
        : chat(turns, fields, aborter.signal);
    for await (const part of parts) so.take(part);
    so.finish({ end: so.end });
  } catch (error) {
    const stopped = (error as Error).name === "AbortError";
    so.finish(stopped ? { end: "stopped" } : { end: "error", error: (error as Error).message });
    if (!stopped) say((error as Error).message, true);
  } finally {
    if (stopper === aborter) {
      stopper = null;
      writing.value = null;
    }
  }
}

/// Collects the parts of an answer and shows them at most once a frame.
class Answer {
  private message: Message;
  private due = false;
  private first = 0;
  end: Message["end"] = "stop";

  constructor(
    private conversation: string,
    id: string,
  ) {
    this.message = find(conversation)!.messages[id]!;
  }

  take(part: AnswerPart) {
    const now = performance.now();
    if (!this.first && (part.text || part.thought)) this.first = now;
    const m = { ...this.message };
    if (part.text) m.text += part.text;
    if (part.thought) m.thought = (m.thought ?? "") + part.thought;
    if (part.scores) m.scores = [...(m.scores ?? []), ...part.scores];
    if (part.end) this.end = part.end;
    if (part.response) m.response = part.response;
    if (part.usage) m.usage = { ...part.usage, seconds: (now - this.first) / 1000 };
    this.message = m;
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      this.put(show);
    });
  }

  finish(change: Partial<Message>) {
    this.message = { ...this.message, ...change };
    this.put(keep);
  }

  private put(place: (conversation: Conversation) => void) {
    const conversation = find(this.conversation);
    if (conversation?.messages[this.message.id])
      place(withChange(conversation, this.message.id, this.message));
  }
}
