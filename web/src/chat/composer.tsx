// Where the next message is written.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../parts/icon";
import { ask, current, stop, writing } from "../session";
import { useStore } from "../store";

/// What was typed and not sent, by conversation.
const drafts = new Map<string, string>();

export function focusComposer() {
  document.querySelector<HTMLTextAreaElement>("#composer")?.focus();
}

export function Composer({ onEditLast }: { onEditLast: () => void }) {
  const conversation = useStore(current);
  const busy = useStore(writing)?.conversation === conversation.id;
  const [text, setText] = useState(drafts.get(conversation.id) ?? "");
  const area = useRef<HTMLTextAreaElement>(null);

  // Before it is painted, so that what is typed at once goes where it is seen to go.
  useLayoutEffect(() => {
    setText(drafts.get(conversation.id) ?? "");
    if (matchMedia("(pointer: fine)").matches) area.current?.focus();
  }, [conversation.id]);
  useEffect(() => {
    const box = area.current!;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, innerHeight * 0.4)}px`;
  }, [text]);

  const put = (next: string) => {
    drafts.set(conversation.id, next);
    setText(next);
  };
  const send = () => {
    if (!text.trim() || busy) return;
    put("");
    ask(text.trim());
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label class="sr" for="composer">
        Message
      </label>
      <textarea
        id="composer"
        ref={area}
        rows={1}
        value={text}
        placeholder="Say something"
        enterkeyhint="send"
        autocomplete="off"
        onInput={(event) => put(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.isComposing) return;
          if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            send();
          } else if (event.key === "Escape" && busy) {
            stop();
          } else if (event.key === "ArrowUp" && text === "") {
            event.preventDefault();
            onEditLast();
          }
        }}
      />
      {busy ? (
        <button type="button" class="round is-stop" aria-label="Stop" title="Stop (Esc)" onClick={stop}>
          <Icon name="stop" />
        </button>
      ) : (
        <button type="submit" class="round" aria-label="Send" title="Send (Enter)" disabled={!text.trim()}>
          <Icon name="send" />
        </button>
      )}
    </form>
  );
}
