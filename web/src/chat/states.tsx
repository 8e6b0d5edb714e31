// The states that the server keeps: conversations that outlive the browser, each of constant size however
// long it is.
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, getJson, request } from "../api";
import { newConversation, newId, titleOf, withMessage, type Conversation } from "../conversation";
import { Icon, IconButton } from "../parts/icon";
import { addConversations, conversations, say } from "../session";
import { view } from "../settings";
import { useStore } from "../store";

interface KeptState {
  id: string;
  title?: string;
  created_at?: number; // seconds since 1970
  tokens?: number;
  bytes?: number;
  parent?: string | null;
  messages?: { role: string; content: string }[];
}

const size = (bytes: number) =>
  bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

function conversationOf(state: KeptState): Conversation {
  let conversation: Conversation = { ...newConversation(), title: state.title || "A state", named: true };
  for (const message of state.messages ?? []) {
    if (message.role === "system") conversation.system = message.content;
    if (message.role !== "user" && message.role !== "assistant") continue;
    const next = {
      id: newId(),
      parent: conversation.leaf,
      role: message.role,
      text: message.content,
      created: Date.now(),
    } as const;
    conversation = withMessage(conversation, next);
  }
  // What is said next goes on from the state itself.
  if (conversation.leaf) conversation.messages[conversation.leaf]!.response = state.id;
  else conversation.start = state.id;
  return conversation;
}

/// What people call a state: its title, or what was said there in a conversation of this browser.
function nameOf(state: KeptState, all: Conversation[]): string {
  if (state.title) return state.title;
  for (const { messages } of all) {
    const answer = Object.values(messages).find((message) => message.response === state.id);
    const question = answer?.parent ? messages[answer.parent] : undefined;
    if (question) return titleOf(question.text);
  }
  return state.id;
}

function StateRow({ state, onChange }: { state: KeptState; onChange: () => void }) {
  const act = async (what: () => Promise<void>) => {
    try {
      await what();
    } catch (error) {
      say((error as Error).message, true);
    }
  };
  const path = `/v1/states/${encodeURIComponent(state.id)}`;
  const open = () =>
    act(async () => {
      const conversation = conversationOf(await getJson<KeptState>(path));
      view.patch({ onServer: true });
      addConversations([conversation]);
    });
  const save = () =>
    act(async () => {
      const blob = await (await request(`${path}/export`)).blob();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${state.id}.safetensors`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    });
  const remove = () =>
    act(async () => {
      await request(path, { method: "DELETE" });
      onChange();
    });
  const title = nameOf(state, useStore(conversations));
  return (
    <li class="state">
      <div>
        <strong>{title}</strong>
        <small>
          {(state.tokens ?? 0).toLocaleString("en")} tokens in {size(state.bytes ?? 0)}
          {state.created_at
            ? ` · ${new Date(state.created_at * 1000).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`
            : ""}
        </small>
      </div>
      <span class="state-actions">
        <IconButton icon="on" label={`Go on with ${title}`} onClick={open} />
        <IconButton icon="down" label={`Export ${title}`} onClick={save} />
        <IconButton icon="trash" label={`Delete ${title}`} onClick={remove} />
      </span>
    </li>
  );
}

export function States() {
  const [states, setStates] = useState<KeptState[] | null>(null);
  const [trouble, setTrouble] = useState("");
  const { onServer } = useStore(view);
  const file = useRef<HTMLInputElement>(null);
  const load = async () => {
    try {
      setStates((await getJson<{ data: KeptState[] }>("/v1/states")).data);
      setTrouble("");
    } catch (error) {
      setTrouble(
        error instanceof ApiError && error.status === 404
          ? "This server keeps no states."
          : (error as Error).message,
      );
    }
  };
  useEffect(() => void load(), []);
  const take = async (files: FileList | null) => {
    try {
      for (const one of files ?? []) {
        await request(`/v1/states/import?title=${encodeURIComponent(one.name)}`, {
          method: "POST",
          headers: { "content-type": "application/octet-stream" },
          body: one,
        });
      }
      await load();
    } catch (error) {
      say((error as Error).message, true);
    }
  };
  return (
    <div class="states">
      <p class="hint">
        A conversation of any length is a state of constant size. These are kept by the server and survive its
        restart.
      </p>
      {!trouble && (
        <label class="switch">
          <input
            type="checkbox"
            checked={onServer}
            onChange={(event) => view.patch({ onServer: event.currentTarget.checked })}
          />
          Keep the state after each answer
        </label>
      )}
      {trouble && <p class="ending">{trouble}</p>}
      {states?.length === 0 && <p class="ending">None yet.</p>}
      <ul>
        {states?.map((state) => (
          <StateRow key={state.id} state={state} onChange={load} />
        ))}
      </ul>
      {!trouble && (
        <button type="button" class="button" onClick={() => file.current!.click()}>
          <Icon name="up" /> Import a state
        </button>
      )}
      <input ref={file} type="file" hidden onChange={(event) => take(event.currentTarget.files)} />
    </div>
  );
}
