// The tree of a conversation: a dot a message, the shown branch in colour. Arrow keys walk it, Enter goes
// there.
import { useMemo, useRef, useState } from "preact/hooks";
import { childrenOf, pathTo, titleOf, type Conversation, type Message } from "../conversation";
import { current, goTo } from "../session";
import { useStore } from "../store";

const kStepX = 30,
  kStepY = 26,
  kMargin = 16;

interface Dot {
  message: Message;
  x: number;
  y: number;
  parent: Dot | null;
}

/// A column a branch: the first of several goes straight down, each later one takes the next free column.
export function layOut(conversation: Conversation): Dot[] {
  const dots: Dot[] = [];
  let columns = 0;
  // A stack, not recursion: conversations may be thousands of messages deep.
  const stack: { message: Message; parent: Dot | null; depth: number; first: boolean }[] = [];
  const push = (children: Message[], parent: Dot | null, depth: number) =>
    children
      .map((message, i) => ({ message, parent, depth, first: i === 0 }))
      .reverse()
      .forEach((entry) => stack.push(entry));
  push(childrenOf(conversation, null), null, 0);
  while (stack.length) {
    const { message, parent, depth, first } = stack.pop()!;
    const column = first && parent ? (parent.x - kMargin) / kStepX : columns++;
    const dot = { message, parent, x: kMargin + column * kStepX, y: kMargin + depth * kStepY };
    dots.push(dot);
    push(childrenOf(conversation, message.id), dot, depth + 1);
  }
  return dots;
}

function link(from: Dot, to: Dot): string {
  if (from.x === to.x) return `M${from.x} ${from.y}V${to.y}`;
  const middle = from.y + kStepY / 2;
  return `M${from.x} ${from.y}C${from.x} ${middle + 6} ${to.x} ${middle - 6} ${to.x} ${to.y}`;
}

export function Tree() {
  const conversation = useStore(current);
  const dots = useMemo(() => layOut(conversation), [conversation]);
  const path = useMemo(
    () => new Set(pathTo(conversation, conversation.leaf).map((message) => message.id)),
    [conversation],
  );
  const svg = useRef<SVGSVGElement>(null);
  const [at, setAt] = useState<string | null>(null);
  const focused = at !== null && conversation.messages[at] ? at : conversation.leaf;
  if (dots.length === 0)
    return (
      <p class="hint">
        Every message can be answered, edited and retried in several ways. This is where the branches will
        show.
      </p>
    );

  const width = Math.max(...dots.map((dot) => dot.x)) + kMargin;
  const height = Math.max(...dots.map((dot) => dot.y)) + kMargin;
  const move = (event: KeyboardEvent) => {
    const dot = dots.find((dot) => dot.message.id === focused);
    if (!dot) return;
    const row = dots.filter((other) => other.y === dot.y).sort((a, b) => a.x - b.x);
    const next = {
      ArrowUp: () => dot.parent,
      ArrowDown: () =>
        dots
          .filter((other) => other.parent === dot)
          .sort((a, b) => Number(path.has(b.message.id)) - Number(path.has(a.message.id)))[0],
      ArrowLeft: () => row[row.indexOf(dot) - 1],
      ArrowRight: () => row[row.indexOf(dot) + 1],
    }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      goTo(dot.message.id);
    } else if (next) {
      event.preventDefault();
      const to = next();
      if (!to) return;
      setAt(to.message.id);
      svg.current?.querySelector<SVGElement>(`[data-dot="${to.message.id}"]`)?.focus();
    }
  };
  const shown = dots.find((dot) => dot.message.id === focused)?.message;
  return (
    <div class="tree-place">
      <div class="tree-scroll">
        <svg
          ref={svg}
          class="tree"
          width={width}
          height={height}
          viewBox={`0 0 ${width} ${height}`}
          role="tree"
          aria-label="Branches"
          onKeyDown={move}
        >
          {dots.map(
            (dot) =>
              dot.parent && (
                <path
                  key={dot.message.id}
                  d={link(dot.parent, dot)}
                  class={path.has(dot.message.id) ? "is-on" : ""}
                  aria-hidden="true"
                />
              ),
          )}
          {[...dots].map((dot) => (
            <g
              key={dot.message.id}
              role="treeitem"
              data-dot={dot.message.id}
              tabIndex={dot.message.id === focused ? 0 : -1}
              aria-level={(dot.y - kMargin) / kStepY + 1}
              aria-selected={dot.message.id === conversation.leaf}
              aria-label={`${dot.message.role === "user" ? "You" : "Answer"}: ${titleOf(dot.message.text)}`}
              class={`dot is-${dot.message.role} ${path.has(dot.message.id) ? "is-on" : ""}`}
              onClick={() => goTo(dot.message.id)}
              onFocus={() => setAt(dot.message.id)}
              onPointerEnter={() => setAt(dot.message.id)}
            >
              <circle class="dot-reach" cx={dot.x} cy={dot.y} r="12" />
              {dot.message.role === "user" ? (
                <rect x={dot.x - 5} y={dot.y - 5} width="10" height="10" rx="3" />
              ) : (
                <circle cx={dot.x} cy={dot.y} r="5.5" />
              )}
            </g>
          ))}
        </svg>
      </div>
      {shown && (
        <p class="tree-text">
          <strong>{shown.role === "user" ? "You" : "Answer"}</strong>{" "}
          {shown.text.replace(/[#*`|>]+/g, "").slice(0, 240) || "…"}
        </p>
      )}
      <p class="hint">
        <span class="key-square" /> you <span class="key-dot" /> answers. Click one to go there; the server
        still has its state.
      </p>
    </div>
  );
}
