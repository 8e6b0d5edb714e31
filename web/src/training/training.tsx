// Training: the logs of runs, live, several in one picture.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, getJson } from "../api";
import { Plot, short, type Curve } from "../parts/plot";
import { Follower, smooth, type RunLog } from "./run_log";

interface Run {
  name: string;
  bytes: number;
  changed: number; // seconds since 1970
}

const kEvery = 1000; // milliseconds between two looks
const kColours = ["--curve-1", "--curve-2", "--curve-3", "--curve-4", "--curve-5", "--curve-6"];

/// Runs, and the logs of those that are chosen, anew every second while somebody looks.
function useRuns() {
  const [runs, setRuns] = useState<Run[] | null>(null);
  const [trouble, setTrouble] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const [version, setVersion] = useState(0);
  const followers = useRef(new Map<string, Follower>());
  const wanted = useRef<string[]>([]);
  wanted.current = chosen;

  useEffect(() => {
    let timer = 0,
      over = false;
    const look = async () => {
      try {
        if (!document.hidden) {
          const { data } = await getJson<{ data: Run[] }>("/v1/runs");
          setRuns(data);
          setTrouble("");
          if (wanted.current.length === 0 && data[0] && followers.current.size === 0)
            setChosen((wanted.current = [data[0].name]));
          let news = false;
          for (const name of wanted.current) {
            if (!followers.current.has(name)) followers.current.set(name, new Follower(name));
            news = (await followers.current.get(name)!.more()) || news;
          }
          if (news) setVersion((n) => n + 1);
        }
      } catch (error) {
        const none = error instanceof ApiError && error.status === 404;
        setTrouble(none ? "none" : (error as Error).message);
      }
      if (!over) timer = window.setTimeout(look, kEvery);
    };
    look();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [chosen.join("\n")]);
  const logs = useMemo(
    () =>
      chosen.flatMap((name) =>
        followers.current.get(name) ? [{ name, log: followers.current.get(name)!.log }] : [],
      ),
    [chosen, version],
  );
  return { runs, trouble, chosen, setChosen, logs };
}

type Axis = "step" | "time";
type Named = { name: string; log: RunLog };

const hours = (seconds: number) => {
  const whole = Math.round(seconds);
  const h = Math.floor(whole / 3600),
    m = Math.floor((whole % 3600) / 60);
  return h
    ? `${h}:${String(m).padStart(2, "0")} h`
    : m
      ? `${m}:${String(whole % 60).padStart(2, "0")} min`
      : `${whole} s`;
};

/// Only the points that have a value: the others of a sparse curve say nothing.
function sparse(x: number[], y: (number | null)[]): { x: number[]; y: number[] } {
  const at = y.flatMap((value, i) => (value === null ? [] : [i]));
  return { x: at.map((i) => x[i]!), y: at.map((i) => y[i]!) };
}

function lossCurves(logs: Named[], axis: Axis, keep: number, colourOf: (name: string) => string): Curve[] {
  return logs.flatMap(({ name, log }) => {
    const x = axis === "step" ? log.step : log.seconds;
    const colour = colourOf(name);
    const curves: Curve[] = [];
    if (keep > 0) curves.push({ name: `${name}, each step`, x, y: log.loss, colour, pale: true });
    curves.push({ name, x, y: smooth(log.loss, keep), colour });
    for (const [what, y] of [
      ["held out", log.val],
      ["evaluation", log.evaluation],
      ["averaged weights", log.ema],
    ] as const) {
      const points = sparse(x, y);
      if (points.x.length) curves.push({ name: `${name}, ${what}`, ...points, colour, dots: true });
    }
    return curves;
  });
}

function Figures({ log }: { log: RunLog }) {
  const last = <T,>(column: (T | null)[]) => column.filter((value) => value !== null).pop();
  const loss = smooth(log.loss, 0.95).pop();
  const rows: [string, string][] = [
    ["step", (log.step[log.step.length - 1] ?? 0).toLocaleString("en")],
    ["loss", loss ? loss.toFixed(4) : "–"],
    ["held out", last(log.val)?.toFixed(4) ?? "–"],
    ["tokens/s", Math.round(last(log.speed) ?? 0).toLocaleString("en")],
    ["time", hours(log.seconds[log.seconds.length - 1] ?? 0)],
  ];
  if (log.bytes && loss) rows.splice(2, 0, ["bits a byte", (loss / Math.LN2).toFixed(4)]);
  if (log.skipped) rows.push(["skipped", String(log.skipped)]);
  if (log.returns.length) rows.push(["went back", String(log.returns.length)]);
  return (
    <dl class="figures">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Samples({ name, log }: Named) {
  const [at, setAt] = useState<number | null>(null);
  if (!log.samples.length) return null;
  const index = Math.min(at ?? log.samples.length - 1, log.samples.length - 1);
  const sample = log.samples[index]!;
  return (
    <section class="card">
      <header>
        <h2>What {name} wrote</h2>
        <label class="sample-step">
          step {sample.step.toLocaleString("en")}
          <input
            type="range"
            min={0}
            max={log.samples.length - 1}
            value={index}
            aria-label="Which sample"
            aria-valuetext={`step ${sample.step}`}
            onInput={(event) => {
              const value = Number(event.currentTarget.value);
              setAt(value === log.samples.length - 1 ? null : value);
            }}
          />
        </label>
      </header>
      <pre class="sample" tabIndex={0}>
        {sample.text}
      </pre>
    </section>
  );
}

function NoRuns({ trouble }: { trouble: string }) {
  return (
    <section class="card">
      <h2>
        {trouble === "none"
          ? "This server watches no runs"
          : trouble
            ? "The runs cannot be read"
            : "No runs yet"}
      </h2>
      {trouble && trouble !== "none" ? (
        <p class="ending is-bad" role="alert">
          {trouble}
        </p>
      ) : (
        <p>
          Start it with the folder that runs are in, and every <code>log.jsonl</code> there shows up here
          while it is written:
        </p>
      )}
      <pre class="sample" tabIndex={0}>
        linnet serve --runs out{"\n"}linnet train --data text.txt --out out/first --sample-every 100
      </pre>
    </section>
  );
}

export default function Training() {
  const { runs, trouble, chosen, setChosen, logs } = useRuns();
  const [axis, setAxis] = useState<Axis>("step");
  const [log, setLog] = useState(false);
  const [keep, setKeep] = useState(0.9);
  const colourOf = (name: string) =>
    kColours[
      Math.max(
        0,
        (runs ?? []).findIndex((run) => run.name === name),
      ) % kColours.length
    ]!;
  const x = (one: RunLog) => (axis === "step" ? one.step : one.seconds);
  const axisProps = {
    xLabel: axis === "step" ? "step" : "time",
    ...(axis === "time" ? { xValue: hours } : {}),
    together: "training",
  };
  const loss = useMemo(() => lossCurves(logs, axis, keep, colourOf), [logs, axis, keep, runs?.length]);
  const others = useMemo(() => {
    const of = (column: "lr" | "speed" | "gradient", factor: number): Curve[] =>
      logs.map(({ name, log }) => ({
        name,
        x: x(log),
        y: factor ? smooth(log[column], factor) : log[column],
        colour: colourOf(name),
      }));
    return { lr: of("lr", 0), speed: of("speed", 0.8), gradient: of("gradient", 0.8) };
  }, [logs, axis, runs?.length]);
  const live = (run: Run) => Date.now() / 1000 - run.changed < 30;
  return (
    <div class="scroller training" tabIndex={-1}>
      <div class="cards">
        <div class="source">
          <h1>Training</h1>
        </div>
        {(trouble || runs?.length === 0) && <NoRuns trouble={trouble} />}
        {runs && runs.length > 0 && (
          <>
            <ul class="runs" aria-label="Runs">
              {runs.map((run) => (
                <li key={run.name}>
                  <label class="run">
                    <input
                      type="checkbox"
                      checked={chosen.includes(run.name)}
                      onChange={(event) =>
                        setChosen(
                          event.currentTarget.checked
                            ? [...chosen, run.name]
                            : chosen.filter((name) => name !== run.name),
                        )
                      }
                    />
                    <span class="swatch" style={{ background: `var(${colourOf(run.name)})` }} />
                    {run.name}
                    {live(run) && <span class="live">live</span>}
                  </label>
                </li>
              ))}
            </ul>
            <section class="card">
              <header>
                <h2>Loss</h2>
                <div class="choices" role="group" aria-label="How to draw it">
                  <button
                    type="button"
                    class="chip"
                    aria-pressed={axis === "time"}
                    onClick={() => setAxis(axis === "step" ? "time" : "step")}
                  >
                    over time
                  </button>
                  <button type="button" class="chip" aria-pressed={log} onClick={() => setLog(!log)}>
                    log scale
                  </button>
                  <label class="smooth">
                    smooth
                    <input
                      type="range"
                      min={0}
                      max={0.99}
                      step={0.01}
                      value={keep}
                      onInput={(event) => setKeep(Number(event.currentTarget.value))}
                    />
                  </label>
                </div>
              </header>
              <Plot
                curves={loss}
                label={`Loss of ${chosen.join(", ")}`}
                yLabel="nats a token"
                height={340}
                log={log}
                {...axisProps}
              />
              {logs.map(({ name, log }) => (
                <div key={name} class="figures-of">
                  {logs.length > 1 && <h3>{name}</h3>}
                  <Figures log={log} />
                </div>
              ))}
            </section>
            <div class="pair">
              <section class="card">
                <h2>Learning rate</h2>
                <Plot curves={others.lr} label="Learning rate" yLabel="" height={180} {...axisProps} />
              </section>
              <section class="card">
                <h2>Tokens a second</h2>
                <Plot
                  curves={others.speed}
                  label="Tokens a second"
                  yLabel=""
                  height={180}
                  value={(y) => short(y)}
                  {...axisProps}
                />
              </section>
              <section class="card">
                <h2>Norm of the gradient</h2>
                <Plot
                  curves={others.gradient}
                  label="Norm of the gradient"
                  yLabel=""
                  height={180}
                  {...axisProps}
                />
              </section>
            </div>
            {logs.map((one) => (
              <Samples key={one.name} {...one} />
            ))}
          </>
        )}
      </div>
    </div>
  );
}
