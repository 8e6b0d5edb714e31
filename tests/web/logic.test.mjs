// The parts of the page that need no browser: trees of messages, logs of runs, texts of tokens.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, before, test } from "node:test";

const kWeb = new URL("../../web/", import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "linnet-web-"));
after(() => rmSync(folder, { recursive: true }));

const parts = {};
before(async () => {
  globalThis.crypto ??= webcrypto; // node 18
  globalThis.localStorage = { getItem: () => null, setItem() {} };
  globalThis.document = { documentElement: { dataset: {} } };
  globalThis.matchMedia = () => ({ addEventListener() {}, matches: false });
  const { build } = createRequire(kWeb)("esbuild");
  for (const name of ["conversation", "training/run_log", "parts/token_strip", "api"]) {
    const outfile = join(folder, name.replace("/", "_") + ".mjs");
    await build({
      absWorkingDir: kWeb.pathname,
      entryPoints: [`src/${name}.ts${name.includes("strip") ? "x" : ""}`],
      outfile,
      bundle: true,
      format: "esm",
      jsx: "automatic",
      jsxImportSource: "preact",
      logLevel: "error",
    });
    Object.assign(parts, await import(pathToFileURL(outfile)));
  }
});

function tree(...links) {
  let conversation = parts.newConversation();
  links.forEach(([id, parent], i) => {
    conversation = parts.withMessage(conversation, {
      id,
      parent,
      role: i % 2 ? "assistant" : "user",
      text: id,
      created: i,
    });
  });
  return conversation;
}

test("a conversation is a tree, shown as one path", () => {
  const conversation = tree(["a", null], ["b", "a"], ["c", "b"], ["d", "a"], ["e", null]);
  const ids = (leaf) => parts.pathTo(conversation, leaf).map((message) => message.id);
  assert.deepEqual(ids("c"), ["a", "b", "c"]);
  assert.deepEqual(
    parts.childrenOf(conversation, null).map((message) => message.id),
    ["a", "e"],
  );
  assert.equal(parts.newestLeaf(conversation, "a"), "d");
  assert.equal(parts.newestLeaf(conversation, "b"), "c");
  const less = parts.withoutMessage({ ...conversation, leaf: "d" }, "d");
  assert.equal(less.leaf, "c");
  assert.deepEqual(Object.keys(parts.withoutMessage(conversation, "a").messages), ["e"]);
  assert.equal(parts.titleOf("word ".repeat(30)).length < 50, true);
});

test("what was exported can be imported, and nothing else", () => {
  const [again] = parts.importText(parts.exportText([tree(["a", null], ["b", "a"])]));
  assert.deepEqual(
    parts.pathTo(again, again.leaf).map((message) => message.text),
    ["a", "b"],
  );
  for (const text of [
    "",
    "{}",
    '{"format":"linnet conversations 1","conversations":[{"messages":{"a":{"role":"x","text":""}}}]}',
    '{"format":"linnet conversations 1","conversations":[{"messages":{"a":{"role":"user","text":"","parent":"z"}}}]}',
  ]) {
    assert.throws(() => parts.importText(text));
  }
});

test("a log forgets what a run went back over", () => {
  const log = parts.emptyLog();
  const line = (step) =>
    JSON.stringify({
      step,
      loss: 5 - step,
      lr: 1,
      val_loss: null,
      tokens_per_s: 1,
      seconds: step,
      skipped: false,
    }) + "\n";
  parts.append(log, line(0) + line(1) + line(2) + "{ torn");
  parts.append(log, '{"step":1,"event":"return","from":2,"why":"loss"}\n' + line(1));
  assert.deepEqual(log.step, [0, 1]);
  assert.deepEqual(log.returns, [{ to: 1, from: 2, why: "loss" }]);
  assert.deepEqual(parts.smooth([1, null, 1], 0.9), [1, null, 1]);
});

test("tokens that are pieces of a character are shown as the character", () => {
  const bytes = (...list) => ({ token: "?", bytes: list, logprob: -1 });
  const shown = parts.shownTokens([bytes(0x61), bytes(0xc3), bytes(0xa9), bytes(0x62)]);
  assert.deepEqual(
    shown.map((token) => [token.text, token.at, token.logprob]),
    [
      ["a", 0, -1],
      ["é", 1, -2],
      ["b", 3, -1],
    ],
  );
});

test("events are read however they are cut", async () => {
  const text = 'data: {"n":1}\n\ndata: {"n":2}\r\n\r\n: comment\n\ndata: {"n":"é"}\n\ndata: [DONE]\n\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 7, 1000]) {
    const stream = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.subarray(at, at + size));
        controller.close();
      },
    });
    const read = [];
    for await (const event of parts.events(new Response(stream))) read.push(event.n);
    assert.deepEqual(read, [1, 2, "é"]);
  }
});

test("without npm the server is built without its page", () => {
  const web = join(folder, "web");
  const programs = join(folder, "bin");
  mkdirSync(web);
  mkdirSync(programs);
  symlinkSync(process.execPath, join(programs, "node"));
  for (const name of ["build.mjs", "no_page.cc", "package.json", "package-lock.json"]) {
    copyFileSync(new URL(name, kWeb), join(web, name));
  }
  const run = spawnSync("node", ["build.mjs", join(folder, "out")], {
    cwd: web,
    env: { PATH: programs },
    encoding: "utf8",
  });
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stdout, /built without its page: npm could not be run/);
  assert.match(readFileSync(join(folder, "out/assets.cc"), "utf8"), /return \{\};/);
  assert.match(readFileSync(join(folder, "out/without-page"), "utf8"), /npm/);
});
