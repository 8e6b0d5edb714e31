// One message: what was said, what can be done with it, and what it cost.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { childrenOf, type Conversation, type Message } from "../conversation";
import { Bird, IconButton } from "../parts/icon";
import { TokenStrip } from "../parts/token_strip";
import { ask, goOn, goTo, removeMessage, retry, say } from "../session";
import { MarkdownView } from "./markdown_view";

export function copyText(text: string) {
  const done = () => say("Copied.");
  navigator.clipboard
    ?.writeText(text)
    .then(done, () => say("The browser does not allow copying here.", true));
}

/// "‹ 2 of 3 ›": the branches at this message.
function Siblings({ conversation, message }: { conversation: Conversation; message: Message }) {
  const all = childrenOf(conversation, message.parent);
  const at = all.findIndex((sibling) => sibling.id === message.id);
  if (all.length < 2) return null;
  const what = message.role === "user" ? "message" : "answer";
  return (
    <span class="siblings" role="group" aria-label={`Branches: ${what} ${at + 1} of ${all.length}`}>
      <IconButton
        icon="left"
        label={`Previous ${what}`}
        disabled={at === 0}
        onClick={() => goTo(all[at - 1]!.id)}
      />
      <span aria-hidden="true">
        {at + 1}/{all.length}
      </span>
      <IconButton
        icon="right"
        label={`Next ${what}`}
        disabled={at === all.length - 1}
        onClick={() => goTo(all[at + 1]!.id)}
      />
    </span>
  );
}

const count = (n: number) => n.toLocaleString("en");

function UsageLine({ message }: { message: Message }) {
  const usage = message.usage;
  if (!usage) return null;
  const speed = usage.seconds > 0.02 && usage.tokens > 1 ? (usage.tokens - 1) / usage.seconds : 0;
  return (
    <span class="usage">
      <span title="tokens of the answer">{count(usage.tokens)} tokens</span>
      <span title="tokens of the conversation before it, and how many of them the server still had in a state">
        {count(usage.cached)} of {count(usage.prompt)} cached
      </span>
      {speed > 0 && <span title="from the first token to the last">{count(Math.round(speed))} tokens/s</span>}
    </span>
  );
}

function Editor({ message, onDone }: { message: Message; onDone: () => void }) {
  const [text, setText] = useState(message.text);
  const area = useRef<HTMLTextAreaElement>(null);
  // Before it is painted: what is typed at once must not find the selection moved under it.
  useLayoutEffect(() => {
    area.current!.focus();
    area.current!.setSelectionRange(text.length, text.length);
  }, []);
  const send = () => {
    onDone();
    if (text.trim()) ask(text.trim(), message.parent);
  };
  return (
    <form
      class="editor"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={area}
        aria-label="Edit the message"
        rows={Math.min(12, text.split("\n").length + 1)}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onDone();
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      <div class="editor-row">
        <span>The first one stays, as a branch.</span>
        <button type="button" class="button" onClick={onDone}>
          Cancel
        </button>
        <button type="submit" class="button is-main">
          Send
        </button>
      </div>
    </form>
  );
}

function Thought({ text, open }: { text: string; open: boolean }) {
  return (
    <details class="thought" open={open}>
      <summary>Thought</summary>
      <div>{text}</div>
    </details>
  );
}

function Ending({ message }: { message: Message }) {
  if (message.end === "error") {
    return (
      <p class="ending is-bad" role="alert">
        {message.error}
      </p>
    );
  }
  if (message.end === "stopped") return <p class="ending">Stopped.</p>;
  if (message.end !== "length") return null;
  return (
    <p class="ending">
      Cut off at the limit.{" "}
      <button type="button" class="link" onClick={() => goOn(message.id)}>
        Go on
      </button>
    </p>
  );
}

export function MessageView(props: {
  conversation: Conversation;
  message: Message;
  isWriting: boolean;
  last: boolean;
}) {
  const { conversation, message, isWriting } = props;
  const [editing, setEditing] = useState(false);
  const [scored, setScored] = useState(false);
  const user = message.role === "user";
  if (editing) return <Editor message={message} onDone={() => setEditing(false)} />;
  const actions = (
    <div class="actions">
      <Siblings conversation={conversation} message={message} />
      <IconButton icon="copy" label="Copy" onClick={() => copyText(message.text)} />
      {user ? (
        <IconButton icon="edit" label="Edit, as a new branch" onClick={() => setEditing(true)} />
      ) : (
        <IconButton icon="retry" label="Another answer" onClick={() => retry(message.id)} />
      )}
      {!props.last && (
        <IconButton icon="branch" label="Go on from here" onClick={() => goTo(message.id, true)} />
      )}
      {!user && (
        <IconButton
          icon="inside"
          label="See inside this answer"
          onClick={() => (location.hash = `#/inside/${conversation.id}/${message.id}`)}
        />
      )}
      {message.scores && (
        <button type="button" class="chip" aria-pressed={scored} onClick={() => setScored(!scored)}>
          probabilities
        </button>
      )}
      {props.last && (
        <IconButton icon="trash" label="Remove this message" onClick={() => removeMessage(message.id)} />
      )}
      {!user && <UsageLine message={message} />}
    </div>
  );
  if (user) {
    return (
      <article class="message is-user" aria-label="You" data-id={message.id}>
        <div class="bubble">{message.text}</div>
        {actions}
      </article>
    );
  }
  const waits = isWriting && !message.text && !message.thought;
  return (
    <article
      class={`message is-answer ${isWriting ? "is-writing" : ""}`}
      aria-label="Answer"
      aria-busy={isWriting}
      data-id={message.id}
    >
      <Bird />
      <div class="answer">
        {message.thought && <Thought text={message.thought} open={isWriting && !message.text} />}
        {waits && (
          <p class="waiting">
            <span class="sr">Waiting for the answer</span>
            <i />
            <i />
            <i />
          </p>
        )}
        {scored && message.scores ? (
          <TokenStrip tokens={message.scores} label="Tokens of the answer" />
        ) : (
          <MarkdownView text={message.text} />
        )}
        <Ending message={message} />
        {!isWriting && actions}
      </div>
    </article>
  );
}

/// The copy buttons that stand in rendered Markdown.
export function copyCode(event: MouseEvent) {
  const button = (event.target as HTMLElement).closest<HTMLButtonElement>("button[data-copy]");
  const code = button?.closest(".code")?.querySelector("code")?.textContent;
  if (code !== undefined && code !== null) copyText(code);
}
