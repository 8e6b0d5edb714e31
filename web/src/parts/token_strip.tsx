// A text as its tokens, each on a ground that is the warmer the less the model expected it. The token under
// the pointer, or the one that the arrow keys reach, shows what else might have come.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { TokenScore } from "../conversation";

/// Tokens of one character each, cut off inside one, are shown as the character they make.
export interface ShownToken {
  text: string;
  /// Of the tokens that it is made of, the first.
  at: number;
  logprob: number | null;
}

export function shownTokens(
  tokens: { token: string; bytes?: number[] | null; logprob: number | null }[],
): ShownToken[] {
  const shown: ShownToken[] = [];
  const decoder = new TextDecoder("utf-8", { fatal: false });
  let held: ShownToken | null = null;
  tokens.forEach((token, at) => {
    const text: string = token.bytes
      ? decoder.decode(new Uint8Array(token.bytes), { stream: true })
      : token.token;
    if (held) {
      held.text = text;
      held.logprob = (held.logprob ?? 0) + (token.logprob ?? 0);
      if (text) held = null;
      return;
    }
    const next: ShownToken = { text, at, logprob: token.logprob };
    shown.push(next);
    if (!text && token.bytes?.length) held = next;
  });
  return shown;
}

/// How unexpected a token was, from 0 to 9: halves of bits of surprise.
export function surprise(logprob: number | null): number {
  return logprob === null ? 0 : Math.max(0, Math.min(9, Math.round((-logprob / Math.LN2) * 1.2)));
}

export function readable(text: string): string {
  const shown = text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/\r/g, "␍") || "∅";
  return shown.trim() === "" ? "␣".repeat(shown.length) : shown;
}

export const percent = (logprob: number) => {
  const share = Math.exp(logprob) * 100;
  return share >= 10 ? `${share.toFixed(0)}%` : share >= 0.1 ? `${share.toFixed(1)}%` : "<0.1%";
};

/// What might have come in place of a token.
export function Alternatives({ token }: { token: TokenScore }) {
  const rows = token.top_logprobs.some((top) => top.token === token.token)
    ? token.top_logprobs
    : [...token.top_logprobs, { token: token.token, logprob: token.logprob }];
  return (
    <ol class="alternatives">
      {rows.map((top, i) => (
        <li key={i} class={top.token === token.token ? "is-it" : ""}>
          <code>{readable(top.token)}</code>
          <span class="bar" style={{ "--share": `${Math.exp(top.logprob) * 100}%` }} />
          <span>{percent(top.logprob)}</span>
        </li>
      ))}
    </ol>
  );
}

export function TokenStrip(props: {
  tokens: (TokenScore | (Omit<TokenScore, "logprob"> & { logprob: number | null }))[];
  label: string;
  selected?: number;
  /// Tokens before this one are shown paler: they were given.
  from?: number;
  onSelect?: (at: number) => void;
}) {
  const shown = useMemo(() => shownTokens(props.tokens), [props.tokens]);
  const [own, setOwn] = useState(-1);
  const selected = props.selected ?? own;
  const strip = useRef<HTMLDivElement>(null);
  const select = (at: number, focus = false) => {
    setOwn(at);
    props.onSelect?.(at);
    if (focus) strip.current?.querySelector<HTMLElement>(`[data-at="${at}"]`)?.focus();
  };
  // A token that was chosen elsewhere comes into sight; the page itself stays where it is.
  useEffect(() => {
    const box = strip.current!;
    const chosen = box.querySelector<HTMLElement>(`[data-at="${selected}"]`);
    if (!chosen || box.matches(":hover")) return;
    const top = chosen.offsetTop - box.offsetTop;
    if (top < box.scrollTop || top + chosen.offsetHeight > box.scrollTop + box.clientHeight)
      box.scrollTop = top - box.clientHeight / 2;
  }, [selected, shown]);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const index = shown.findIndex((token) => token.at === selected);
    const next = Math.max(0, Math.min(shown.length - 1, index + step));
    select(shown[next]!.at, true);
  };
  const token = props.tokens[selected];
  return (
    <div class="token-strip">
      <div
        ref={strip}
        class="tokens"
        role="listbox"
        aria-label={props.label}
        aria-orientation="horizontal"
        onKeyDown={move}
        onPointerOver={(event) => {
          const at = (event.target as HTMLElement).dataset.at;
          if (at !== undefined) select(Number(at));
        }}
      >
        {shown.map((token, i) => (
          <span
            key={token.at}
            role="option"
            data-at={token.at}
            tabIndex={token.at === selected || (selected < 0 && i === 0) ? 0 : -1}
            aria-selected={token.at === selected}
            aria-label={`${readable(token.text)}${token.logprob === null ? "" : `, ${percent(token.logprob)}`}`}
            class={`token s${surprise(token.logprob)} ${props.from !== undefined && token.at < props.from ? "is-given" : ""}`}
            onFocus={() => token.at !== selected && select(token.at)}
          >
            {token.text.split("\n").flatMap((line, k) => (k ? [<i key={k}>⏎</i>, "\n", line] : [line]))}
          </span>
        ))}
      </div>
      {!props.onSelect && (
        <div class="token-detail" aria-live="polite">
          {token && token.logprob !== null ? (
            <Alternatives token={token as TokenScore} />
          ) : (
            <p>Point at a token to see what else might have come.</p>
          )}
        </div>
      )}
    </div>
  );
}
