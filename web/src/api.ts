// The server's API, as this page uses it.
import { kept, Store } from "./store";
import type { TokenScore, Usage } from "./conversation";

/// What the server answered instead of what was asked for.
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code = "",
  ) {
    super(message);
  }
}

export const access = kept("linnet.access", { key: "" });
/// True while the server wants a key that it did not get.
export const keyWanted = new Store(false);

function headers(extra: Record<string, string> = {}): Record<string, string> {
  return access.value.key ? { ...extra, authorization: `Bearer ${access.value.key}` } : extra;
}

/// fetch() that throws ApiError unless the status says that all went well.
export async function request(path: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, { ...options, headers: headers(options.headers as Record<string, string>) });
  } catch (error) {
    if ((error as Error).name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it still running?", 0);
  }
  if (response.status === 401) keyWanted.value = true;
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const error = JSON.parse(text)?.error;
    if (typeof error?.message === "string")
      return new ApiError(error.message, response.status, error.code ?? "");
  } catch {
    // No JSON: a proxy's page, perhaps.
  }
  return new ApiError(
    `The server answered ${response.status}${response.statusText ? ` (${response.statusText})` : ""}.`,
    response.status,
  );
}

async function post(path: string, body: unknown, signal: AbortSignal | null): Promise<Response> {
  return request(path, {
    method: "POST",
    body: JSON.stringify(body),
    signal,
    headers: { "content-type": "application/json" },
  });
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request(path, { signal: signal ?? null })).json();
}

export async function postJson<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return (await post(path, body, signal ?? null)).json();
}

/// The objects of a stream of server-sent events, up to [DONE].
export async function* events(response: Response): AsyncGenerator<any> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      held += value;
      const blocks = held.split(/\r?\n\r?\n/);
      held = blocks.pop()!;
      for (const block of blocks) {
        const data = block
          .split(/\r?\n/)
          .filter((line) => line.startsWith("data:"))
          .map((line) => line.slice(5).trimStart())
          .join("\n");
        if (data === "[DONE]") return;
        if (data) yield JSON.parse(data);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/// What the server offers: its model, and the LoRAs and tuned states that a request may name.
export interface Offered {
  models: { id: string }[];
  loras: string[];
  states: string[];
}

export async function offers(): Promise<Offered> {
  const list = await getJson<{ data: { id: string }[]; loras?: string[]; states?: string[] }>("/v1/models");
  return { models: list.data, loras: list.loras ?? [], states: list.states ?? [] };
}

export interface ChatTurn {
  role: "system" | "user" | "assistant";
  content: string;
}

/// What of an answer has come.
export interface AnswerPart {
  text?: string;
  thought?: string;
  scores?: TokenScore[];
  end?: "stop" | "length";
  usage?: Omit<Usage, "seconds">;
  response?: string;
}

/// The answer to a conversation, piece by piece. `sampling` are further fields of the request. Throws
/// ApiError.
export async function* chat(
  turns: ChatTurn[],
  sampling: object,
  signal: AbortSignal,
): AsyncGenerator<AnswerPart> {
  const body = { messages: turns, stream: true, stream_options: { include_usage: true }, ...sampling };
  const response = await post("/v1/chat/completions", body, signal);
  for await (const event of events(response)) {
    if (event.error) throw new ApiError(String(event.error.message ?? "The answer broke off."), 500);
    const part: AnswerPart = {};
    const choice = event.choices?.[0];
    if (choice?.delta?.content) part.text = choice.delta.content;
    if (choice?.delta?.reasoning_content) part.thought = choice.delta.reasoning_content;
    if (choice?.logprobs?.content) part.scores = choice.logprobs.content;
    if (choice?.finish_reason) part.end = choice.finish_reason === "length" ? "length" : "stop";
    if (event.usage) {
      const {
        prompt_tokens: prompt,
        completion_tokens: tokens,
        prompt_tokens_details: details,
      } = event.usage;
      part.usage = { prompt, tokens, cached: details?.cached_tokens ?? 0 };
    }
    yield part;
  }
}

/// The same, from a conversation that the server keeps: only the turns after `previous`, an answer's name
/// there, are sent, and the new answer gets a name, too. Where the server has forgotten it all turns are
/// sent.
export async function* respond(
  turns: ChatTurn[],
  previous: { response: string; turns: number } | null,
  sampling: Record<string, unknown>,
  signal: AbortSignal,
): AsyncGenerator<AnswerPart> {
  const { max_tokens, reasoning_effort, logprobs, top_logprobs, ...rest } = sampling;
  const body = {
    ...rest,
    stream: true,
    store: true,
    ...(max_tokens ? { max_output_tokens: max_tokens } : {}),
    ...(reasoning_effort ? { reasoning: { effort: reasoning_effort } } : {}),
  };
  const system = turns[0]?.role === "system" ? 1 : 0;
  const instructions = system ? { instructions: turns[0]!.content } : {};
  const ask = (from: number, more: object) =>
    post("/v1/responses", { ...body, ...instructions, ...more, input: turns.slice(from) }, signal);
  let response: Response;
  try {
    response = previous
      ? await ask(system + previous.turns, { previous_response_id: previous.response })
      : await ask(system, {});
  } catch (error) {
    if (!previous || (error as ApiError).code !== "previous_response_not_found") throw error;
    response = await ask(system, {});
  }
  for await (const event of events(response)) {
    if (event.type === "response.output_text.delta") yield { text: event.delta };
    else if (event.type === "response.reasoning_text.delta") yield { thought: event.delta };
    else if (event.type === "response.failed")
      throw new ApiError(String(event.response?.error?.message ?? "The answer broke off."), 500);
    else if (event.type === "response.completed" || event.type === "response.incomplete") {
      const { id, usage } = event.response;
      yield {
        end: event.type === "response.completed" ? "stop" : "length",
        response: id,
        ...(usage
          ? {
              usage: {
                prompt: usage.input_tokens,
                tokens: usage.output_tokens,
                cached: usage.input_tokens_details?.cached_tokens ?? 0,
              },
            }
          : {}),
      };
    }
  }
}
