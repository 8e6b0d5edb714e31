// The page of a real linnet, with a small model that was trained for a moment: what it says means nothing,
// but it streams, is cached, can be looked into, and its training log is followed.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { answers, ask, openBrowser, openPage } from "./browser.mjs";

const linnet = process.env.LINNET_PROGRAM;
let browser, server, url, folder;

function train(flags) {
  const { status, stderr } = spawnSync(linnet, ["train", ...flags], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "linnet-page-"));
  writeFileSync(join(folder, "text.txt"), "Question: What is it?\nAnswer: A state.\n\n".repeat(400));
  const sizes = [
    "--layers",
    "2",
    "--width",
    "64",
    "--ctx",
    "64",
    "--batch",
    "4",
    "--steps",
    "40",
    "--sample-every",
    "20",
  ];
  train(["--data", join(folder, "text.txt"), ...sizes, "--out", join(folder, "runs/first")]);
  const model = join(folder, "runs/first/model.safetensors");
  writeFileSync(join(folder, "songs.txt"), "Question: What is it?\nAnswer: birds sing.\n\n".repeat(400));
  const tuning = ["--init", model, "--data", join(folder, "songs.txt"), "--ctx", "64", "--batch", "2"];
  train([...tuning, "--lora", "8", "--steps", "15", "--lr", "2e-2", "--out", join(folder, "lora")]);
  train([...tuning, "--tune", "state", "--steps", "15", "--lr", "0.3", "--out", join(folder, "state")]);
  const args = [
    "serve",
    model,
    "--template",
    "question",
    "--port",
    "0",
    "--name",
    "tiny",
    "--runs",
    join(folder, "runs"),
    "--lora",
    `birds=${join(folder, "lora/model.safetensors")}`,
    "--state",
    `songs=${join(folder, "state/model.safetensors")}`,
  ];
  server = spawn(linnet, args, { stdio: ["ignore", "pipe", "inherit"] });
  url = await new Promise((resolve, reject) => {
    server.on("exit", (code) => reject(new Error(`linnet serve ended with ${code}`)));
    createInterface({ input: server.stdout }).on("line", (line) => {
      const found = line.match(/http:\/\/\S+/);
      if (found) resolve(found[0].replace(/[.,]$/, ""));
    });
  });
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  server?.kill();
  if (folder) rmSync(folder, { recursive: true });
});

test("a conversation streams, and its second turn comes from the cache", async () => {
  const { page, done } = await openPage(browser, url);
  await page.waitForSelector(".model");
  assert.equal(await page.innerText(".model"), "tiny");
  await page.click('.topbar [aria-label="Settings"]');
  await page.fill("#field-max_tokens", "24");
  await page.fill("#slider-temperature", "0");
  await page.check('.switch input[type="checkbox"]');
  await ask(page, "What is it?");
  await ask(page, "And what is that?");
  const usage = await page.innerText(".is-answer:last-child .usage");
  const [, cached, prompt] = usage.match(/(\d+) of (\d+) cached/).map(Number);
  assert.ok(cached > 0 && cached < prompt, usage);
  await page.click(".is-answer:last-child .chip");
  await page.hover(".is-answer:last-child .token >> nth=2");
  assert.ok((await page.locator(".is-answer:last-child .alternatives li").count()) >= 5);

  // Another answer to the same goes on from the same state: all but its last token is cached.
  await page.click('.is-answer:last-child [aria-label="Another answer"]');
  await page.waitForSelector(".is-answer:last-child .siblings");
  await page.waitForSelector(".is-answer:last-child .usage");
  const again = (await page.innerText(".is-answer:last-child .usage"))
    .match(/(\d+) of (\d+) cached/)
    .map(Number);
  assert.equal(again[1], again[2] - 1);
  assert.equal((await answers(page)).length, 2);
  await done();
});

/// What the server says without the page, in letters alone: Markdown takes none of them.
async function letters(more) {
  const messages = [{ role: "user", content: "What is it?" }];
  const reply = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    body: JSON.stringify({ messages, max_tokens: 30, temperature: 0, ...more }),
  });
  return (await reply.json()).choices[0].message.content.replace(/[^a-z]/gi, "");
}

test("a LoRA and a tuned state that were trained are chosen", async () => {
  const { page, done } = await openPage(browser, url);
  await page.click('.topbar [aria-label="Settings"]');
  await page.fill("#field-max_tokens", "30");
  await page.fill("#slider-temperature", "0");
  const said = [];
  for (const [lora, state] of [["", ""], ["birds", ""], ["", "songs"], ["birds", "songs"]]) {
    await page.selectOption("#choice-lora", lora);
    await page.selectOption("#choice-state", state);
    assert.equal(await page.innerText(".model"), ["tiny", lora, state].filter(Boolean).join(" + "));
    await page.click("text=New conversation");
    const sent = page.waitForRequest("**/v1/chat/completions");
    await ask(page, "What is it?");
    const request = (await sent).postDataJSON();
    assert.deepEqual([request.lora ?? "", request.state ?? ""], [lora, state]);
    said.push((await answers(page)).at(-1).replace(/[^a-z]/gi, ""));
    assert.equal(said.at(-1), await letters({ ...(lora && { lora }), ...(state && { state }) }));
  }
  assert.ok(said[1] !== said[0] && said[2] !== said[0], said.join("; "));
  await done();
});

test("an answer can be looked into", async () => {
  const { page, done } = await openPage(browser, url);
  await ask(page, "What is it?");
  await page.click('.is-answer [aria-label="See inside this answer"]');
  await page.waitForSelector(".heat canvas");
  assert.ok((await page.locator(".token").count()) > 20);
  assert.match(await page.innerText(".expected-detail"), /%/);
  assert.match(await page.innerText(".u-legend"), /layer 1/);
  await done();
});

test("a run is followed", async () => {
  const { page, done } = await openPage(browser, `${url}/#/training`);
  await page.waitForSelector(".figures");
  assert.match(await page.innerText(".figures"), /step\s+39/);
  assert.match(await page.innerText(".run"), /^first(\nlive)?$/);  // it is for a minute
  await done();
});

test("a run is followed while it is written", async () => {
  const { page, done } = await openPage(browser, `${url}/#/training`);
  await page.waitForSelector(".figures");
  const flags = ["--layers", "2", "--width", "64", "--ctx", "64", "--batch", "4", "--steps", "100000"];
  const run = spawn(
    linnet,
    ["train", "--data", join(folder, "text.txt"), ...flags, "--out", join(folder, "runs/second")],
    { stdio: "ignore" },
  );
  try {
    await page.waitForFunction(() => document.querySelectorAll(".run").length === 2);
    await page.check('.run:has-text("second") input');
    const step = () =>
      page.evaluate(() => {
        const steps = [...document.querySelectorAll(".figures")].map((figures) => figures.innerText.match(/step\s+([\d,]+)/));
        return Math.max(...steps.map((found) => (found ? Number(found[1].replaceAll(",", "")) : 0)));
      });
    const grows = async (beyond) => {
      for (let i = 0; i < 400 && (await step()) <= beyond; ++i) await page.waitForTimeout(50);
      return step();
    };
    const first = await grows(39);  // where the other run ended
    assert.ok(first > 39 && (await grows(first)) > first);
    assert.match(await page.innerText('.run:has-text("second")'), /live/);
  } finally {
    run.kill();
  }
  await done();
});

test("the page's files come compressed, with a policy, and only once", async () => {
  const first = await fetch(url, { headers: { accept: "text/html" } });
  assert.match(first.headers.get("content-security-policy"), /script-src|default-src 'self'/);
  const script = await fetch(`${url}/app.js`);
  assert.equal(script.headers.get("content-encoding"), "gzip");
  const again = await fetch(`${url}/app.js`, { headers: { "if-none-match": script.headers.get("etag") } });
  assert.equal(again.status, 304);
});
