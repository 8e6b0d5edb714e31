// See inside: what the model expected at each token, how its state grew, and how fast it forgets.
import { useEffect, useMemo, useState } from "preact/hooks";
import { postJson } from "../api";
import type { TokenScore } from "../conversation";
import { Plot, type Curve } from "../parts/plot";
import { Alternatives, percent, readable, TokenStrip } from "../parts/token_strip";
import { conversations, current, turnsOf } from "../session";
import { sampling } from "../settings";
import { useStore } from "../store";
import { HeatMap, type Mode } from "./heat_map";

interface Look {
  model: string;
  tokens: (Omit<TokenScore, "logprob"> & { logprob: number | null })[];
  first: number; // tokens read before those shown
  answer: number; // where, among those shown, the last answer begins
  heads: number[]; // of each layer
  norms: number[][]; // a token: all heads of all layers
  decays: number[][]; // a layer: of its channels
}

const kExample = "The bird sang in the morning. The bird sang in the evening. The bird sang in the";

function Decays({ decays }: { decays: number[][] }) {
  const [half, setHalf] = useState(true);
  const curves = useMemo(
    () =>
      decays.map((layer, i): Curve => {
        const sorted = [...layer].sort((a, b) => a - b);
        const share = decays.length > 1 ? i / (decays.length - 1) : 0;
        return {
          name: `layer ${i}`,
          x: sorted.map((_, c) => ((c + 0.5) / sorted.length) * 100),
          y: sorted
            .map((decay) => (half ? -Math.LN2 / Math.log(decay) : decay))
            .map((y) => (Number.isFinite(y) && y > 0 ? y : null)),
          colour: `hsl(${Math.round(205 + share * 145)} 55% 52%)`,
        };
      }),
    [decays, half],
  );
  return (
    <section class="card">
      <header>
        <h2>How fast it forgets</h2>
        <div class="choices" role="group" aria-label="What to show">
          <button type="button" class="chip" aria-pressed={half} onClick={() => setHalf(true)}>
            half-life
          </button>
          <button type="button" class="chip" aria-pressed={!half} onClick={() => setHalf(false)}>
            decay
          </button>
        </div>
      </header>
      <p class="hint">
        Each channel of the state loses a share of itself with every token. What is drawn is the part that
        does not depend on the text, of all channels from the fastest to the slowest.
      </p>
      <Plot
        curves={curves}
        label={`Decay of the channels of ${decays.length} layers`}
        xLabel="channels, fastest first, %"
        yLabel={half ? "tokens until half is forgotten" : "share kept with each token"}
        log={half}
        height={300}
      />
    </section>
  );
}

/// Numbers that sum up the tokens of the answer.
function Summary({ look }: { look: Look }) {
  const scored = look.tokens.slice(look.answer).filter((token) => token.logprob !== null);
  if (!scored.length) return null;
  const bits = scored.reduce((sum, token) => sum - token.logprob! / Math.LN2, 0) / scored.length;
  const firsts = scored.filter((token) => token.top_logprobs[0]?.token === token.token).length;
  return (
    <dl class="figures">
      <div>
        <dt>tokens</dt>
        <dd>{scored.length.toLocaleString("en")}</dd>
      </div>
      <div>
        <dt>bits a token</dt>
        <dd>{bits.toFixed(2)}</dd>
      </div>
      <div>
        <dt>were the likeliest</dt>
        <dd>{((firsts / scored.length) * 100).toFixed(0)}%</dd>
      </div>
    </dl>
  );
}

function Shown({ look }: { look: Look }) {
  const [selected, setSelected] = useState(Math.min(look.answer, look.tokens.length - 1));
  const [mode, setMode] = useState<Mode>("norm");
  const token = look.tokens[selected];
  const nameOf = (at: number) => readable(look.tokens[at]?.token ?? "");
  return (
    <>
      <section class="card">
        <header>
          <h2>What it expected</h2>
          <Summary look={look} />
        </header>
        <div class="expected">
          <TokenStrip
            tokens={look.tokens}
            label="Tokens"
            selected={selected}
            onSelect={setSelected}
            from={look.answer}
          />
          <div class="expected-detail" aria-live="polite">
            {token && (
              <>
                <h3>
                  <code>{nameOf(selected)}</code>{" "}
                  {token.logprob !== null && <span>{percent(token.logprob)}</span>}
                </h3>
                {token.logprob === null ? (
                  <p class="hint">The first token: nothing stood before it.</p>
                ) : (
                  <Alternatives token={token as TokenScore} />
                )}
              </>
            )}
          </div>
        </div>
        {look.first > 0 && (
          <p class="hint">
            {look.first.toLocaleString("en")} tokens before these were read and are not shown.
          </p>
        )}
      </section>
      {look.heads.length > 0 && (
        <section class="card">
          <header>
            <h2>The state as it changes</h2>
            <div class="choices" role="group" aria-label="What to show">
              <button
                type="button"
                class="chip"
                aria-pressed={mode === "norm"}
                onClick={() => setMode("norm")}
              >
                size
              </button>
              <button
                type="button"
                class="chip"
                aria-pressed={mode === "change"}
                onClick={() => setMode("change")}
              >
                change
              </button>
            </div>
          </header>
          <p class="hint">
            The Frobenius norm of the state of each head after each token. A row is coloured by its own
            largest value.
          </p>
          <HeatMap
            norms={look.norms}
            heads={look.heads}
            mode={mode}
            selected={selected}
            onSelect={setSelected}
            nameOf={nameOf}
          />
        </section>
      )}
      {look.decays.length > 0 && <Decays decays={look.decays} />}
    </>
  );
}

export default function Inside(props: { conversation?: string; message?: string }) {
  const all = useStore(conversations);
  const open = useStore(current);
  const conversation = props.conversation
    ? [open, ...all].find((one) => one.id === props.conversation)
    : undefined;
  const [text, setText] = useState(kExample);
  const [look, setLook] = useState<Look | null>(null);
  const [trouble, setTrouble] = useState("");
  const [busy, setBusy] = useState(false);

  const see = async (what: object) => {
    const aborter = new AbortController();
    setBusy(true);
    setTrouble("");
    try {
      const { lora, state } = sampling.value;
      setLook(
        await postJson<Look>(
          "/v1/inside",
          { ...what, ...(lora ? { lora } : {}), ...(state ? { state } : {}) },
          aborter.signal,
        ),
      );
    } catch (error) {
      setTrouble((error as Error).message);
    }
    setBusy(false);
  };
  useEffect(() => {
    if (!conversation) return;
    const leaf = props.message && conversation.messages[props.message] ? props.message : conversation.leaf;
    if (leaf) see({ messages: turnsOf(conversation, leaf) });
  }, [props.conversation, props.message, conversation === undefined]);
  return (
    <div class="scroller inside" tabIndex={-1}>
      <div class="cards">
        {conversation ? (
          <div class="source">
            <h1>Inside an answer</h1>
            <p>
              of <a href={`#/chat/${conversation.id}`}>{conversation.title}</a>, or{" "}
              <a href="#/inside">a text of your own</a>
            </p>
          </div>
        ) : (
          <form
            class="source"
            onSubmit={(event) => {
              event.preventDefault();
              see({ prompt: text });
            }}
          >
            <h1>See inside</h1>
            <label for="inside-text">
              A text, read token by token. Answers of a chat have their own button, the eye.
            </label>
            <textarea
              id="inside-text"
              rows={3}
              value={text}
              onInput={(event) => setText(event.currentTarget.value)}
            />
            <button type="submit" class="button is-main" disabled={busy || !text}>
              Look
            </button>
          </form>
        )}
        {trouble && (
          <p class="ending is-bad" role="alert">
            {trouble}
          </p>
        )}
        {busy && (
          <p class="loading" role="status">
            Reading…
          </p>
        )}
        {look && !busy && <Shown key={look.tokens.length + look.model} look={look} />}
      </div>
    </div>
  );
}
