// linnet's page: a chat, a look inside the model, and the runs that train. Which of them is shown stands
// behind the # of the address, so that the browser's own back and forward work.
import { render, type ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { access, keyWanted } from "./api";
import { Chat } from "./chat/chat";
import { Panel } from "./chat/panel";
import { Dialog } from "./parts/dialog";
import { IconButton } from "./parts/icon";
import { askWhatIsOffered, current, notice, offered, openConversation, openEverything } from "./session";
import { sampling, view } from "./settings";
import { ShortcutsDialog, useShortcuts } from "./shortcuts";
import { Sidebar, type Page } from "./sidebar";
import { useStore } from "./store";

function useHash(): string[] {
  const read = () => location.hash.replace(/^#\/?/, "").split("/");
  const [parts, setParts] = useState(read());
  useEffect(() => {
    const changed = () => setParts(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parts;
}

/// A page that is loaded when it is first looked at.
function Later(props: { load: () => Promise<{ default: ComponentType<any> }>; with: object }) {
  const [page, setPage] = useState<{ Page: ComponentType<any> } | null>(null);
  useEffect(() => {
    props.load().then((module) => setPage({ Page: module.default }));
  }, []);
  return page ? <page.Page {...props.with} /> : <p class="loading">Loading…</p>;
}

function KeyDialog() {
  const [key, setKey] = useState(access.value.key);
  return (
    <Dialog title="This server wants a key" onClose={() => (keyWanted.value = false)}>
      <form
        class="key-form"
        onSubmit={(event) => {
          event.preventDefault();
          access.value = { key: key.trim() };
          keyWanted.value = false;
          askWhatIsOffered();
        }}
      >
        <label for="wanted-key">API key</label>
        <input
          id="wanted-key"
          type="password"
          autocomplete="off"
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
        />
        <p class="hint">It is kept in this browser and sent to this server only.</p>
        <button type="submit" class="button is-main">
          Go on
        </button>
      </form>
    </Dialog>
  );
}

function Topbar({ page, onMenu }: { page: Page; onMenu: () => void }) {
  const conversation = useStore(current);
  const offer = useStore(offered);
  const { panel } = useStore(view);
  const { lora, state } = useStore(sampling);
  const toggle = (which: "settings" | "branches" | "states") =>
    view.patch({ panel: panel === which ? "" : which });
  const model = offer.models[0]?.id;
  return (
    <header class="topbar">
      <IconButton icon="menu" label="Menu" class="phone-only" onClick={onMenu} />
      <span class="topbar-title">{page === "chat" && conversation.leaf ? conversation.title : ""}</span>
      {model && (
        <span class="model" title="the model that answers">
          {[model, lora, state].filter(Boolean).join(" + ")}
        </span>
      )}
      {page === "chat" && (
        <>
          <IconButton
            icon="branch"
            label="Branches"
            pressed={panel === "branches"}
            onClick={() => toggle("branches")}
          />
          <IconButton
            icon="state"
            label="States on the server"
            pressed={panel === "states"}
            onClick={() => toggle("states")}
          />
          <IconButton
            icon="sliders"
            label="Settings"
            pressed={panel === "settings"}
            onClick={() => toggle("settings")}
          />
        </>
      )}
    </header>
  );
}

/// The title of the window.
function Title({ page }: { page: Page }) {
  const { leaf, title } = useStore(current);
  const named = { chat: leaf ? title : "", inside: "See inside", training: "Training" }[page];
  useEffect(() => {
    document.title = named ? `${named} · linnet` : "linnet";
  }, [named]);
  return null;
}

function App() {
  const [first, second, third] = useHash();
  const page: Page = first === "inside" || first === "training" ? first : "chat";
  const [menu, setMenu] = useState(false);
  const [help, setHelp] = useState(false);
  const wanted = useStore(keyWanted);
  const said = useStore(notice);
  useShortcuts(() => setHelp(true));
  useEffect(() => {
    if (page === "chat" && second && second !== current.value.id) openConversation(second);
  }, [page, second]);
  return (
    <div class="shell">
      <Title page={page} />
      <Sidebar page={page} open={menu} onClose={() => setMenu(false)} onHelp={() => setHelp(true)} />
      {menu && <div class="veil" onClick={() => setMenu(false)} />}
      <div class="main">
        <Topbar page={page} onMenu={() => setMenu(true)} />
        <main class="page">
          {page === "chat" && <Chat />}
          {page === "inside" && (
            <Later
              key="inside"
              load={() => import("./inside/inside")}
              with={{ conversation: second, message: third }}
            />
          )}
          {page === "training" && (
            <Later key="training" load={() => import("./training/training")} with={{}} />
          )}
          {page === "chat" && <Panel />}
        </main>
      </div>
      {help && <ShortcutsDialog onClose={() => setHelp(false)} />}
      {wanted && <KeyDialog />}
      <div class={`notice ${said ? "is-said" : ""} ${said?.bad ? "is-bad" : ""}`} role="status">
        {said?.text}
      </div>
    </div>
  );
}

openEverything().finally(() => {
  const root = document.getElementById("app")!;
  root.replaceChildren();
  render(<App />, root);
});
