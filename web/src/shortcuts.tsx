// The keyboard: one table, which is what ? shows and what is listened for.
import { useEffect } from "preact/hooks";
import { focusComposer } from "./chat/composer";
import { childrenOf, pathTo } from "./conversation";
import { Dialog } from "./parts/dialog";
import { current, goTo, retry, startConversation, stop, writing } from "./session";
import { theme, view } from "./settings";

interface Shortcut {
  keys: string;
  what: string;
  run?: () => void;
}

function toggle(panel: "settings" | "branches" | "states") {
  location.hash.startsWith("#/chat") || (location.hash = "#/chat");
  view.patch({ panel: view.value.panel === panel ? "" : panel });
}

/// The branch to the left or right of the last fork on the path.
function turn(step: number) {
  const conversation = current.value;
  for (const message of pathTo(conversation, conversation.leaf).reverse()) {
    const all = childrenOf(conversation, message.parent);
    const next = all[all.findIndex((sibling) => sibling.id === message.id) + step];
    if (all.length > 1) {
      if (next) goTo(next.id);
      return;
    }
  }
}

const kShortcuts: Shortcut[] = [
  { keys: "Enter", what: "Send" },
  { keys: "Shift Enter", what: "A new line" },
  { keys: "Esc", what: "Stop the answer", run: stop },
  { keys: "↑", what: "Edit your last message, in an empty box" },
  { keys: "/", what: "To the box where you write", run: focusComposer },
  { keys: "n", what: "New conversation", run: startConversation },
  {
    keys: "r",
    what: "Another answer",
    run: () => {
      const leaf = current.value.leaf;
      if (leaf && !writing.value && current.value.messages[leaf]?.role === "assistant") retry(leaf);
    },
  },
  { keys: "[", what: "The branch to the left", run: () => turn(-1) },
  { keys: "]", what: "The branch to the right", run: () => turn(1) },
  { keys: "s", what: "Settings", run: () => toggle("settings") },
  { keys: "b", what: "Branches", run: () => toggle("branches") },
  { keys: "k", what: "States on the server", run: () => toggle("states") },
  { keys: "d", what: "Light or dark", run: () => (theme.value = theme.value === "dark" ? "light" : "dark") },
  { keys: "1", what: "Chat", run: () => (location.hash = "#/chat") },
  { keys: "2", what: "See inside", run: () => (location.hash = "#/inside") },
  { keys: "3", what: "Training", run: () => (location.hash = "#/training") },
  { keys: "?", what: "This list" },
];

export function useShortcuts(onHelp: () => void) {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (document.querySelector("dialog[open]")) return;
      const typing = (event.target as HTMLElement).closest?.(
        "input:not([type=range], [type=checkbox]), textarea, select",
      );
      if (typing && event.key !== "Escape") return;
      const key = event.key === "Escape" ? "Esc" : event.key;
      if (key === "?") onHelp();
      const shortcut = kShortcuts.find((shortcut) => shortcut.run && shortcut.keys === key);
      if (!shortcut) return;
      event.preventDefault();
      shortcut.run!();
    };
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
}

export function ShortcutsDialog({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl class="shortcuts">
        {kShortcuts.map((shortcut) => (
          <div key={shortcut.keys}>
            <dt>
              {shortcut.keys.split(" ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{shortcut.what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
