// The left side: the pages, and the conversations that this browser keeps.
import { useRef, useState } from "preact/hooks";
import { exportText, importText, type Conversation } from "./conversation";
import { Bird, Icon, IconButton, type IconName } from "./parts/icon";
import {
  addConversations,
  change,
  conversations,
  current,
  openConversation,
  removeConversation,
  say,
  startConversation,
  writing,
} from "./session";
import { theme, type Theme } from "./settings";
import { useStore } from "./store";

export type Page = "chat" | "inside" | "training";

const kPages: { page: Page; label: string; icon: IconName }[] = [
  { page: "chat", label: "Chat", icon: "chat" },
  { page: "inside", label: "See inside", icon: "inside" },
  { page: "training", label: "Training", icon: "training" },
];

export function download(name: string, text: string, type = "application/json") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name.replace(/[^\w.-]+/g, "-");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/// "Today", "Yesterday", "This week", "Earlier".
function age(time: number): string {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const day = 86_400_000;
  if (time >= midnight) return "Today";
  if (time >= midnight - day) return "Yesterday";
  return time >= midnight - 6 * day ? "This week" : "Earlier";
}

function byAge(some: Conversation[]): Map<string, Conversation[]> {
  const groups = new Map<string, Conversation[]>();
  for (const conversation of some) {
    const name = age(conversation.updated);
    groups.set(name, [...(groups.get(name) ?? []), conversation]);
  }
  return groups;
}

function Entry({ conversation, open }: { conversation: Conversation; open: boolean }) {
  const [naming, setNaming] = useState(false);
  const [sure, setSure] = useState(false);
  const busy = useStore(writing)?.conversation === conversation.id;
  if (naming) {
    const done = (event: { currentTarget: HTMLInputElement }) => {
      const title = event.currentTarget.value.trim();
      setNaming(false);
      if (title) change(conversation.id, { title, named: true });
    };
    return (
      <li class="entry is-naming">
        <input
          aria-label="Title"
          value={conversation.title}
          ref={(input) => input?.focus()}
          onBlur={done}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.currentTarget.blur();
            if (event.key === "Escape") setNaming(false);
          }}
        />
      </li>
    );
  }
  return (
    <li class={`entry ${open ? "is-open" : ""}`} onMouseLeave={() => setSure(false)}>
      <button
        type="button"
        class="entry-title"
        aria-current={open ? "page" : undefined}
        onClick={() => openConversation(conversation.id)}
      >
        {busy && <span class="busy" aria-label="being written" role="img" />}
        {conversation.title}
      </button>
      {sure ? (
        <button type="button" class="chip is-bad" onClick={() => removeConversation(conversation.id)}>
          Delete
        </button>
      ) : (
        <span class="entry-actions">
          <IconButton icon="edit" label={`Rename ${conversation.title}`} onClick={() => setNaming(true)} />
          <IconButton
            icon="down"
            label={`Export ${conversation.title}`}
            onClick={() => download(`${conversation.title}.linnet.json`, exportText([conversation]))}
          />
          <IconButton icon="trash" label={`Delete ${conversation.title}`} onClick={() => setSure(true)} />
        </span>
      )}
    </li>
  );
}

function ThemeSwitch() {
  const chosen = useStore(theme);
  const next: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
  const icons: Record<Theme, IconName> = { system: "system", light: "sun", dark: "moon" };
  return (
    <IconButton
      icon={icons[chosen]}
      label={`Colours: ${chosen}`}
      onClick={() => (theme.value = next[chosen])}
    />
  );
}

export function Sidebar(props: { page: Page; open: boolean; onClose: () => void; onHelp: () => void }) {
  const all = useStore(conversations);
  const open = useStore(current);
  const [search, setSearch] = useState("");
  const file = useRef<HTMLInputElement>(null);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((conversation) => {
    if (!words.length) return true;
    const text = [conversation.title, ...Object.values(conversation.messages).map((message) => message.text)]
      .join(" ")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const groups = byAge(found);

  const take = async (files: FileList | null) => {
    try {
      for (const one of files ?? []) addConversations(importText(await one.text()));
    } catch (error) {
      say((error as Error).message, true);
    }
  };
  return (
    <nav class={`sidebar ${props.open ? "is-open" : ""}`} aria-label="Pages and conversations">
      <div class="brand">
        <Bird />
        <span class="brand-name">linnet</span>
        <IconButton icon="close" label="Close the menu" class="phone-only" onClick={props.onClose} />
      </div>
      <ul class="pages">
        {kPages.map(({ page, label, icon }) => (
          <li key={page}>
            <a
              href={`#/${page}`}
              aria-current={props.page === page ? "page" : undefined}
              onClick={props.onClose}
            >
              <Icon name={icon} />
              {label}
            </a>
          </li>
        ))}
      </ul>
      <div class="conversations">
        <button
          type="button"
          class="button is-new"
          onClick={() => {
            startConversation();
            props.onClose();
          }}
        >
          <Icon name="plus" /> New conversation
        </button>
        {all.length > 6 && (
          <input
            type="search"
            class="search"
            aria-label="Search conversations"
            placeholder="Search"
            value={search}
            onInput={(event) => setSearch(event.currentTarget.value)}
          />
        )}
        <div class="entries" tabIndex={-1}>
          {[...groups].map(([name, some]) => (
            <section key={name}>
              <h2>{name}</h2>
              <ul onClick={props.onClose}>
                {some.map((conversation) => (
                  <Entry
                    key={conversation.id}
                    conversation={conversation}
                    open={props.page === "chat" && conversation.id === open.id}
                  />
                ))}
              </ul>
            </section>
          ))}
        </div>
      </div>
      <div class="foot">
        <ThemeSwitch />
        <IconButton icon="up" label="Import conversations" onClick={() => file.current!.click()} />
        <IconButton
          icon="down"
          label="Export all conversations"
          disabled={!all.length}
          onClick={() => download("conversations.linnet.json", exportText(all))}
        />
        <IconButton icon="help" label="Keyboard shortcuts" onClick={props.onHelp} />
        <input
          ref={file}
          type="file"
          accept=".json,application/json"
          multiple
          hidden
          onChange={(event) => {
            take(event.currentTarget.files);
            event.currentTarget.value = "";
          }}
        />
      </div>
    </nav>
  );
}
