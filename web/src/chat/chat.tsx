// The chat: the messages of one branch, and the composer below them.
import { useEffect, useRef, useState } from "preact/hooks";
import { pathTo } from "../conversation";
import { Bird, IconButton } from "../parts/icon";
import { ask, current, libraryLasts, offered, writing } from "../session";
import { useStore } from "../store";
import { Composer } from "./composer";
import { copyCode, MessageView } from "./message";

const kOpeners = [
  "What is RWKV?",
  "What is token shift?",
  "How do I train a model with linnet?",
  "How large is the state?",
];

function Greeting() {
  const name = useStore(offered).models[0]?.id;
  const lasts = useStore(libraryLasts);
  return (
    <div class="greeting">
      <Bird />
      <h1>Whatever you say, it becomes one state.</h1>
      <p>
        {name ? (
          <>
            You are talking with <strong>{name}</strong>,{" "}
          </>
        ) : (
          "You are talking with "
        )}
        a recurrent network: it remembers a conversation of any length in a memory of constant size, and goes
        back to any place in it at no cost.
      </p>
      <ul class="openers" aria-label="Ways to begin">
        {kOpeners.map((opener) => (
          <li key={opener}>
            <button type="button" onClick={() => ask(opener)}>
              {opener}
            </button>
          </li>
        ))}
      </ul>
      {!lasts && (
        <p class="ending">This browser keeps nothing: conversations last until the page is closed.</p>
      )}
    </div>
  );
}

/// Says finished answers to screen readers, which would stumble over every token of a running one.
function Announcer() {
  const written = useStore(writing);
  const [said, setSaid] = useState("");
  const before = useRef(written);
  useEffect(() => {
    const last = before.current;
    before.current = written;
    if (written && !last) setSaid("Writing.");
    if (!written && last) setSaid(current.value.messages[last.message]?.text ?? "");
  }, [written]);
  return (
    <div class="sr" aria-live="polite" role="status">
      {said}
    </div>
  );
}

export function Chat() {
  const conversation = useStore(current);
  const written = useStore(writing);
  const scroller = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);
  const path = pathTo(conversation, conversation.leaf);

  // The page follows what is written unless somebody scrolled up to read.
  const follow = () => {
    const box = scroller.current!;
    box.scrollTop = box.scrollHeight;
  };
  useEffect(() => {
    if (following) follow();
  });
  useEffect(() => {
    setFollowing(true);
    follow();
  }, [conversation.id, conversation.leaf]);

  // It stays at the end, too, when what is there wraps otherwise: as the panel opens, or code gets its
  // colours.
  const follows = useRef(following);
  follows.current = following;
  useEffect(() => {
    const observer = new ResizeObserver(() => follows.current && follow());
    observer.observe(scroller.current!);
    for (const content of scroller.current!.children) observer.observe(content);
    return () => observer.disconnect();
  }, [conversation.id, path.length === 0]);

  const editLast = () => {
    const edits = scroller.current!.querySelectorAll<HTMLButtonElement>(
      '.is-user button[aria-label^="Edit"]',
    );
    edits[edits.length - 1]?.click();
  };
  return (
    <div class="chat">
      <div
        class="scroller"
        ref={scroller}
        tabIndex={-1}
        onClick={copyCode}
        onScroll={(event) => {
          const box = event.currentTarget;
          setFollowing(box.scrollHeight - box.scrollTop - box.clientHeight < 48);
        }}
      >
        {path.length === 0 ? (
          <Greeting />
        ) : (
          <div class="messages">
            {conversation.system.trim() && (
              <p class="system" title={conversation.system}>
                <span>System</span> {conversation.system}
              </p>
            )}
            {path.map((message, i) => (
              <MessageView
                key={message.id}
                conversation={conversation}
                message={message}
                isWriting={written?.message === message.id}
                last={i === path.length - 1}
              />
            ))}
          </div>
        )}
      </div>
      {!following && (
        <IconButton
          icon="down"
          label="To the end"
          class="to-end"
          onClick={() => {
            setFollowing(true);
            follow();
          }}
        />
      )}
      <div class="composer-place">
        <Composer onEditLast={editLast} />
        <p class="small">A small model says what is wrong with the same ease as what is right.</p>
      </div>
      <Announcer />
    </div>
  );
}
