// The log of a run (JSON lines, src/train/log.h), read as it grows.
import { request } from "../api";

export interface Sample {
  step: number;
  text: string;
}

/// The columns of a log; where a step has no value there is null.
export interface RunLog {
  step: number[];
  seconds: number[];
  loss: (number | null)[];
  val: (number | null)[];
  evaluation: (number | null)[];
  ema: (number | null)[];
  lr: (number | null)[];
  speed: (number | null)[];
  gradient: (number | null)[];
  skipped: number;
  returns: { to: number; from: number; why: string }[];
  samples: Sample[];
  bytes: boolean; // losses are of bytes
}

export function emptyLog(): RunLog {
  return {
    step: [],
    seconds: [],
    loss: [],
    val: [],
    evaluation: [],
    ema: [],
    lr: [],
    speed: [],
    gradient: [],
    skipped: 0,
    returns: [],
    samples: [],
    bytes: false,
  };
}

const kColumns = ["step", "seconds", "loss", "val", "evaluation", "ema", "lr", "speed", "gradient"] as const;

/// Forgets the steps from `step` on: the run went back there.
function cut(log: RunLog, step: number) {
  let keep = log.step.length;
  while (keep > 0 && log.step[keep - 1]! >= step) --keep;
  for (const column of kColumns) log[column].length = keep;
  log.samples = log.samples.filter((sample) => sample.step < step);
}

const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : null);

/// Adds whole lines; those that are no records are passed over.
export function append(log: RunLog, text: string) {
  for (const line of text.split("\n")) {
    let record: Record<string, unknown>;
    try {
      record = JSON.parse(line);
    } catch {
      continue;
    }
    if (typeof record?.step !== "number") continue;
    if (record.event === "return") {
      cut(log, record.step);
      log.returns.push({ to: record.step, from: Number(record.from), why: String(record.why) });
      continue;
    }
    if (log.step.length && record.step <= log.step[log.step.length - 1]!) cut(log, record.step);
    log.step.push(record.step);
    log.seconds.push(number(record.seconds) ?? 0);
    log.loss.push(number(record.loss));
    log.val.push(number(record.val_loss));
    log.evaluation.push(number(record.eval_loss));
    log.ema.push(number(record.ema_val_loss));
    log.lr.push(number(record.lr));
    log.speed.push(number(record.tokens_per_s));
    log.gradient.push(number(record.grad_norm));
    if (record.skipped === true) log.skipped += 1;
    if (number(record.bits_per_byte) !== null) log.bytes = true;
    if (typeof record.sample === "string") log.samples.push({ step: record.step, text: record.sample });
  }
}

/// Follows one log. Each call of more() reads what has been added; a log that was replaced (a run that goes
/// on from an older checkpoint rewrites it) is read anew.
export class Follower {
  log = emptyLog();
  private offset = 0;
  private file = "";

  constructor(readonly name: string) {}

  /// Whether there was anything new.
  async more(): Promise<boolean> {
    let news = false;
    for (let rounds = 0; rounds < 64; ++rounds) {
      const response = await request(`/v1/runs/${encodeURIComponent(this.name)}/log?from=${this.offset}`);
      const file = response.headers.get("x-log-file") ?? "";
      const text = new Uint8Array(await response.arrayBuffer());
      if (file !== this.file || Number(response.headers.get("x-log-bytes")) < this.offset) {
        const again = this.offset > 0;
        this.file = file;
        if (again) {
          this.offset = 0;
          this.log = emptyLog();
          news = true;
          continue;
        }
      }
      if (text.length === 0) return news;
      this.offset += text.length;
      append(this.log, new TextDecoder().decode(text));
      news = true;
    }
    return news;
  }
}

/// The running mean of a noisy curve: of weights that fall by `keep` with each point.
export function smooth(values: (number | null)[], keep: number): (number | null)[] {
  let sum = 0,
    weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = sum * keep + value * (1 - keep);
    weight = weight * keep + (1 - keep);
    return weight > 0 ? sum / weight : value;
  });
}
