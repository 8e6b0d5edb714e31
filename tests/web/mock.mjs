// A server for the page's tests that says what it is told to: Markdown, code and errors that a small model
// never writes, at a pace that a test can step into. It serves the page's files and the same API as linnet.
//
// What it answers depends on the last message: "code", "markdown", "slow", "long", "fail", "hostile", else
// "You said: ...".
import { createServer } from "node:http";
import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";

const kTypes = { html: "text/html", css: "text/css", js: "text/javascript", svg: "image/svg+xml" };

const kCode = `A head's state is a matrix, and every token changes it a little:

\`\`\`python
def step(S, r, w, k, v, a, b):
    # S: [value, key]; decay, remove, write
    S = S * w + (S @ a)[:, None] * b + v[:, None] * k
    return S, S @ r
\`\`\`

So the cost of a token does not depend on how many came before.`;

const kMarkdown = `### What is kept

A model keeps **one state** a layer, and *nothing* else:

1. the shifted row, \`x_prev\`
2. the matrix of each head

| layer | heads | bytes |
|---|---|---|
| 0 | 5 | 81,920 |
| 1 | 5 | 81,920 |

> Whatever was said is in there, or forgotten.

See [the paper](https://arxiv.org/abs/2503.14456).`;

const kHostile = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>

[click](javascript:window.pwned=1) ![picture](https://example.org/a.png)

<b onclick="window.pwned=1">bold</b>`;

const kLong = Array.from(
  { length: 40 },
  (_, i) => `Paragraph ${i + 1} of an answer that takes its time.`,
).join("\n\n");

export function answerTo(text) {
  const word = (text.match(/\b(code|markdown|slow|long|fail|hostile)\b/i)?.[1] ?? "").toLowerCase();
  return {
    word,
    text:
      { code: kCode, markdown: kMarkdown, hostile: kHostile, long: kLong, slow: kLong }[word] ??
      `You said: ${text}`,
  };
}

const pieces = (text) => text.match(/[\s\S]{1,4}/g) ?? [];

function scoreOf(token, i) {
  const logprob = -((i * 7) % 11) / 3;
  const others = [" the", " a", "xy", "!"].map((other, k) => ({
    token: other,
    bytes: [...Buffer.from(other)],
    logprob: logprob - 0.7 * (k + 1),
  }));
  return {
    token,
    bytes: [...Buffer.from(token)],
    logprob,
    top_logprobs: [{ token, bytes: [...Buffer.from(token)], logprob }, ...others],
  };
}

/// `options.key`: the API key, if one is wanted; `page`: the folder of the built page.
export function startMock({ page = "", key = "", runs = {}, pause = 4 }) {
  const seen = { requests: [], aborted: 0 };
  let states = [
    { id: "state_1", title: "A talk about states", tokens: 1234, bytes: 330000, created_at: 1760000000 },
  ];

  async function chat(body, response) {
    seen.requests.push(body);
    const last = body.messages[body.messages.length - 1];
    const { word, text } = answerTo(last.content);
    if (word === "fail")
      return json(response, 400, {
        error: {
          message: "The temperature must be at least 0.",
          type: "invalid_request_error",
          param: "temperature",
          code: null,
        },
      });
    response.writeHead(200, { "content-type": "text/event-stream" });
    const send = (choice, more = {}) =>
      response.write(
        `data: ${JSON.stringify({ id: "chat_1", object: "chat.completion.chunk", choices: choice ? [choice] : [], ...more })}\n\n`,
      );
    let gone = false;
    response.on("close", () => {
      if (!response.writableEnded) seen.aborted += 1;
      gone = true;
    });
    send({ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null });
    const all = pieces(text);
    const cut = body.max_tokens ? all.slice(0, body.max_tokens) : all;
    for (const [i, piece] of cut.entries()) {
      if (gone) return;
      send({
        index: 0,
        delta: { content: piece },
        logprobs: body.logprobs ? { content: [scoreOf(piece, i)] } : null,
        finish_reason: null,
      });
      await new Promise((resolve) => setTimeout(resolve, word === "slow" ? 50 : pause));
    }
    send({ index: 0, delta: {}, finish_reason: cut.length < all.length ? "length" : "stop" });
    const prompt = body.messages.reduce((sum, message) => sum + message.content.length + 10, 0);
    const usage = {
      prompt_tokens: prompt,
      completion_tokens: cut.length,
      total_tokens: prompt + cut.length,
      prompt_tokens_details: { cached_tokens: Math.max(0, prompt - last.content.length - 10) },
    };
    send(null, { usage });
    response.end("data: [DONE]\n\n");
  }

  /// OpenAI's /v1/responses: `known` are the answers that are kept, by id.
  const known = new Set(["state_1"]);
  function respond(body, response) {
    seen.requests.push(body);
    if (body.previous_response_id && !known.has(body.previous_response_id)) {
      return json(response, 400, {
        error: {
          message: "Previous response not found.",
          type: "invalid_request_error",
          param: "previous_response_id",
          code: "previous_response_not_found",
        },
      });
    }
    const id = `resp_${known.size}`;
    known.add(id);
    states.unshift({ id, title: null, tokens: 50, bytes: 330000, created_at: 1760000000 });
    response.writeHead(200, { "content-type": "text/event-stream" });
    const send = (event) => response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    send({ type: "response.created", response: { id, status: "in_progress" } });
    for (const delta of pieces(answerTo(body.input.at(-1).content).text))
      send({ type: "response.output_text.delta", delta });
    send({
      type: "response.completed",
      response: {
        id,
        status: "completed",
        usage: { input_tokens: 50, output_tokens: 5, input_tokens_details: { cached_tokens: 40 } },
      },
    });
    response.end();
  }

  function inside(body, response) {
    const given = body.messages ? body.messages.map((m) => m.content).join("\n\n") : body.prompt;
    const tokens = pieces(given).map((token, i) =>
      i === 0 ? { ...scoreOf(token, 0), logprob: null, top_logprobs: [] } : scoreOf(token, i),
    );
    const heads = [5, 5, 5, 5];
    const norms = tokens.map((_, t) =>
      heads.flatMap((count, layer) =>
        Array.from(
          { length: count },
          (_, head) =>
            (layer + 1) *
            3 *
            (1 - Math.exp(-t / (3 + 6 * head))) *
            (1 + 0.25 * Math.sin(t * (head + 1) * 0.37)),
        ),
      ),
    );
    const decays = heads.map((_, layer) =>
      Array.from({ length: 320 }, (_, c) => 1 - Math.exp(-1 - (c / 320) * (3 + 2 * layer))),
    );
    const answer = body.messages
      ? pieces(
          body.messages
            .slice(0, -1)
            .map((m) => m.content)
            .join("\n\n"),
        ).length
      : 0;
    json(response, 200, {
      object: "inside",
      model: "starter",
      first: 0,
      answer,
      tokens,
      heads,
      norms,
      decays,
    });
  }

  function json(response, status, value, headers = {}) {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const path = url.pathname;
    const file = join(page, path === "/" ? "index.html" : path.slice(1));
    if (request.method === "GET" && !path.startsWith("/v1/") && existsSync(file)) {
      response.writeHead(200, { "content-type": kTypes[path === "/" ? "html" : path.split(".").pop()] });
      return response.end(readFileSync(file));
    }
    if (key && request.headers.authorization !== `Bearer ${key}`)
      return json(response, 401, { error: { message: "A key is needed.", type: "authentication_error" } });
    const run = path.match(/^\/v1\/runs\/([^/]+)\/log$/);
    if (path === "/v1/models")
      return json(response, 200, {
        object: "list",
        data: [{ id: "starter", object: "model" }],
        loras: ["pirate"],
        states: [],
      });
    if (path === "/v1/chat/completions") return chat(JSON.parse(text), response);
    if (path === "/v1/responses") return respond(JSON.parse(text), response);
    if (path === "/v1/inside") return inside(JSON.parse(text), response);
    if (path === "/v1/states" && request.method === "GET")
      return json(response, 200, { object: "list", data: states });
    if (path.startsWith("/v1/states/") && request.method === "DELETE") {
      states = states.filter((state) => !path.endsWith(state.id));
      return json(response, 200, { deleted: true });
    }
    if (path === "/v1/states/state_1")
      return json(response, 200, {
        ...states[0],
        messages: [
          { role: "user", content: "Hello" },
          { role: "assistant", content: "Hello to you." },
        ],
      });
    if (path === "/v1/runs")
      return json(response, 200, {
        data: Object.keys(runs).map((name) => ({
          name,
          bytes: runs[name].length,
          changed: Date.now() / 1000,
        })),
      });
    if (run && runs[decodeURIComponent(run[1])] !== undefined) {
      const log = Buffer.from(runs[decodeURIComponent(run[1])]);
      response.writeHead(200, {
        "content-type": "application/x-ndjson",
        "x-log-bytes": log.length,
        "x-log-file": "1",
      });
      return response.end(log.subarray(Number(url.searchParams.get("from"))));
    }
    json(response, 404, { error: { message: `There is no ${path}.`, type: "not_found_error" } });
  });
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () =>
      resolve({
        url: `http://127.0.0.1:${server.address().port}`,
        seen,
        forget: () => known.clear(),
        close: () => server.close(),
      }),
    ),
  );
}

/// A log of `steps` steps, as linnet train writes it.
export function logOf(steps, { start = 5.5, speed = 8000, seed = 1 } = {}) {
  let random = seed;
  const noise = () => (random = (random * 1103515245 + 12345) % 2147483648) / 2147483648 - 0.5;
  return Array.from({ length: steps }, (_, step) => {
    const loss = 0.9 + (start - 0.9) * Math.exp(-step / 90) + 0.18 * noise();
    const record = {
      step,
      loss,
      bits_per_byte: loss / Math.LN2,
      val_loss: step % 50 === 49 ? loss + 0.05 : null,
      lr: 6e-4 * Math.min(1, (step + 1) / 20) * (0.55 + 0.45 * Math.cos((Math.PI * step) / steps)),
      grad_norm: 0.4 + Math.exp(-step / 60) * 2 + 0.1 * noise(),
      tokens_per_s: speed * (1 + 0.08 * noise()),
      seconds: (step * 4096) / speed,
      skipped: false,
    };
    if (step % 100 === 99)
      record.sample = `Question: What is a state?\nAnswer: What a recurrent network remembers, after ${step + 1} steps.`;
    return JSON.stringify(record) + "\n";
  }).join("");
}
