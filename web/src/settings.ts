// How answers are sampled, and what of the page each browser remembers. What is not set is not sent: the
// server's own values then hold.
import { kept, Store } from "./store";

export interface Sampling {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  presence_penalty?: number;
  frequency_penalty?: number;
  repetition_penalty?: number;
  max_tokens?: number;
  seed?: number;
  stop?: string;
  model?: string;
  lora?: string;
  state?: string;
  reasoning_effort?: "none" | "low" | "medium" | "high";
}

export const sampling = kept<Sampling>("linnet.sampling", {});

/// The fields of a request.
export function samplingFields(set: Sampling, scores: boolean): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(set)) {
    if (value === undefined || value === "" || name === "stop") continue;
    fields[name] = value;
  }
  const stops = (set.stop ?? "").split("\n").filter((line) => line !== "");
  if (stops.length) fields.stop = stops.map((line) => line.replaceAll("\\n", "\n"));
  if (scores) Object.assign(fields, { logprobs: true, top_logprobs: 5 });
  return fields;
}

export interface SliderSpec {
  name: keyof Sampling;
  label: string;
  hint: string;
  min: number;
  max: number;
  step: number;
  /// Where the slider stands while nothing is set.
  rest: number;
}

export const kSliders: SliderSpec[] = [
  {
    name: "temperature",
    label: "Temperature",
    hint: "0 takes the likeliest token each time; higher is bolder",
    min: 0,
    max: 2,
    step: 0.05,
    rest: 1,
  },
  {
    name: "top_p",
    label: "Top p",
    hint: "keeps the likeliest tokens whose probabilities add up to this",
    min: 0,
    max: 1,
    step: 0.01,
    rest: 1,
  },
  {
    name: "top_k",
    label: "Top k",
    hint: "keeps this many of the likeliest; 0 keeps all",
    min: 0,
    max: 200,
    step: 1,
    rest: 0,
  },
  {
    name: "min_p",
    label: "Min p",
    hint: "drops what is less likely than this share of the likeliest",
    min: 0,
    max: 1,
    step: 0.01,
    rest: 0,
  },
  {
    name: "presence_penalty",
    label: "Presence",
    hint: "makes what was said once less likely",
    min: -2,
    max: 2,
    step: 0.05,
    rest: 0,
  },
  {
    name: "frequency_penalty",
    label: "Frequency",
    hint: "makes what was said often less likely",
    min: -2,
    max: 2,
    step: 0.05,
    rest: 0,
  },
  {
    name: "repetition_penalty",
    label: "Repetition",
    hint: "divides the scores of what was said; 1 changes nothing",
    min: 0.5,
    max: 2,
    step: 0.05,
    rest: 1,
  },
];

export type Theme = "system" | "light" | "dark";

export interface View {
  /// What the panel at the right shows; "" if it is closed.
  panel: "" | "settings" | "branches" | "states";
  scores: boolean;
  /// Whether the server is to keep the state after each answer.
  onServer: boolean;
}
export const view = kept<View>("linnet.view", { panel: "", scores: false, onServer: false });

function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem("linnet.theme");
    return stored === "light" || stored === "dark" ? stored : "system";
  } catch {
    return "system";
  }
}

export const theme = new Store<Theme>(storedTheme());
/// Counts changes of colour, whoever makes them, for what paints colours itself.
export const repaint = new Store(0);

theme.watch(() => {
  const chosen = theme.value;
  if (chosen === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("linnet.theme", chosen);
  } catch {
    // It lasts until the page is closed.
  }
  repaint.value += 1;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (repaint.value += 1));

export function isDark(): boolean {
  return (
    theme.value === "dark" || (theme.value === "system" && matchMedia("(prefers-color-scheme: dark)").matches)
  );
}
