// The chat in a real browser, against mock.mjs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { answered, answers, ask, kPage, openBrowser, openPage } from "./browser.mjs";
import { startMock } from "./mock.mjs";

let browser, mock;
before(async () => {
  browser = await openBrowser();
  mock = await startMock({ page: kPage });
});
after(async () => {
  await browser?.close();
  mock?.close();
});

test("an answer streams, is shown as Markdown, and says what it cost", async () => {
  const { page, done } = await openPage(browser, mock.url);
  await ask(page, "Some markdown, please");
  const prose = page.locator(".is-answer .prose");
  assert.equal(await prose.locator("table td").count(), 6);
  assert.equal(await prose.locator("h3").innerText(), "What is kept");
  assert.equal(await prose.locator("a").getAttribute("rel"), "noopener noreferrer");
  assert.match(await page.innerText(".usage"), /78 tokens\s+0 of 31 cached\s+[\d,]+ tokens\/s/);
  assert.equal(mock.seen.requests.at(-1).stream, true);
  assert.equal(await page.title(), "Some markdown, please · linnet");
  await done();
});

test("code is coloured and can be copied", async () => {
  const { page, context, done } = await openPage(browser, mock.url);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await ask(page, "Show me code");
  await page.waitForSelector(".code .hljs-keyword");
  await page.click("[data-copy]");
  await page.waitForSelector(".notice.is-said");
  assert.match(
    await page.evaluate(() => navigator.clipboard.readText()),
    /^def step\(S, r, w, k, v, a, b\):\n {4}#/,
  );
  await done();
});

test("what a model writes cannot do anything", async () => {
  const { page, done } = await openPage(browser, mock.url);
  await ask(page, "Be hostile");
  const answer = page.locator(".is-answer .prose");
  assert.match(await answer.innerText(), /<script>window.pwned=1<\/script>/);
  assert.equal(await answer.locator("img, script, [onclick], [onerror], [href^=javascript]").count(), 0);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  await done();
});

test("an answer can be stopped, and the server hears of it", async () => {
  const { page, done } = await openPage(browser, mock.url);
  const aborted = mock.seen.aborted;
  await page.fill("#composer", "Be slow");
  await page.press("#composer", "Enter");
  await page.waitForFunction(() =>
    document.querySelector(".is-answer .prose")?.innerText.includes("Paragraph 1"),
  );
  await page.press("#composer", "Escape");
  await page.waitForSelector(".ending");
  assert.equal(await page.innerText(".ending"), "Stopped.");
  await page.waitForTimeout(200);
  assert.equal(mock.seen.aborted, aborted + 1);
  await done();
});

test("retrying, editing and going on from anywhere make branches, and all are kept", async () => {
  const { page, done } = await openPage(browser, mock.url);
  await ask(page, "one");
  await ask(page, "two");
  await page.click('.is-answer >> nth=1 >> [aria-label="Another answer"]');
  await page.waitForSelector(".siblings");
  await answered(page);
  assert.match(await page.innerText(".is-answer:last-child .siblings"), /2\/2/);

  // Another first message: what followed the first one is gone from sight, not from the conversation.
  await page.hover(".is-user >> nth=0");
  await page.click('.is-user >> nth=0 >> [aria-label^="Edit"]');
  await page.fill(".editor textarea", "three");
  await page.press(".editor textarea", "Enter");
  await page.waitForSelector(".message:last-child .usage");
  assert.deepEqual(await answers(page), ["You said: three"]);
  const sent = mock.seen.requests.at(-1).messages;
  assert.deepEqual(sent, [{ role: "user", content: "three" }]);
  await page.click('.is-user [aria-label="Previous message"]');
  assert.deepEqual(await answers(page), ["You said: one", "You said: two"]);

  // From the middle: the first answer gets a second follow-up.
  await page.hover(".is-answer >> nth=0");
  await page.click('.is-answer >> nth=0 >> [aria-label="Go on from here"]');
  assert.deepEqual(await answers(page), ["You said: one"]);
  await ask(page, "four");
  assert.deepEqual(
    mock.seen.requests.at(-1).messages.map((message) => message.content),
    ["one", "You said: one", "four"],
  );

  // The tree shows all nine messages; a click on a dot goes there.
  await page.click('.topbar [aria-label="Branches"]');
  assert.equal(await page.locator(".dot").count(), 9);
  await page.locator('.dot[aria-label="Answer: You said: three"]').dispatchEvent("click");
  assert.deepEqual(await answers(page), ["You said: three"]);
  await done();
});

test("conversations survive a reload, can be renamed, exported, deleted and imported", async () => {
  const { page, done } = await openPage(browser, mock.url);
  await ask(page, "Remember this");
  await page.reload();
  await page.waitForSelector(".entry");
  assert.deepEqual(await answers(page), ["You said: Remember this"]);
  await page.hover(".entry");
  await page.click('[aria-label="Rename Remember this"]');
  await page.fill(".entry input", "A name");
  await page.press(".entry input", "Enter");
  await page.hover(".entry");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.click('[aria-label="Export A name"]'),
  ]);
  const text = readFileSync(await download.path(), "utf8");
  assert.equal(JSON.parse(text).conversations[0].title, "A name");
  await page.click('[aria-label="Delete A name"]');
  await page.click(".entry .chip.is-bad");
  assert.equal(await page.locator(".entry").count(), 0);
  const give = (buffer) =>
    page.setInputFiles('.foot input[type="file"]', {
      name: "a.json",
      mimeType: "application/json",
      buffer: Buffer.from(buffer),
    });
  await give('{"format": "something else"}');
  await page.waitForSelector(".notice.is-bad");
  await give(text);
  await page.waitForSelector(".entry");
  assert.deepEqual(await answers(page), ["You said: Remember this"]);
  await done();
});

test("without IndexedDB localStorage keeps the conversations", async () => {
  const { page, context, done } = await openPage(browser, mock.url);
  await context.addInitScript(() => Object.defineProperty(window, "indexedDB", { value: undefined }));
  await page.reload();
  await page.waitForSelector("#composer");
  await ask(page, "Stay");
  await page.reload();
  await page.waitForSelector(".entry");
  assert.deepEqual(await answers(page), ["You said: Stay"]);
  await done();
});

test("settings are sent only once they are set", async () => {
  const { page, done } = await openPage(browser, mock.url);
  await ask(page, "a");
  assert.deepEqual(Object.keys(mock.seen.requests.at(-1)).sort(), ["messages", "stream", "stream_options"]);
  await page.click('.topbar [aria-label="Settings"]');
  await page.fill("#slider-temperature", "0.5");
  await page.fill("#field-max_tokens", "3");
  await page.fill("#field-system", "You are a bird.");
  await page.fill("#field-stop", "\\n\\nUser:");
  await page.selectOption("#choice-lora", "pirate");
  await page.check('.switch input[type="checkbox"]');
  await ask(page, "Some code");
  const { messages, stream, stream_options, ...rest } = mock.seen.requests.at(-1);
  assert.deepEqual(rest, {
    temperature: 0.5,
    max_tokens: 3,
    lora: "pirate",
    stop: ["\n\nUser:"],
    logprobs: true,
    top_logprobs: 5,
  });
  assert.deepEqual(messages[0], { role: "system", content: "You are a bird." });
  await page.waitForSelector("text=Cut off at the limit.");

  await page.click(".is-answer:last-child .chip");
  await page.hover(".is-answer:last-child .token >> nth=1");
  assert.equal(await page.locator(".is-answer:last-child .alternatives li").count(), 5);
  await page.click("text=All back to the server's values");
  await ask(page, "b");
  assert.equal(mock.seen.requests.at(-1).temperature, undefined);
  await done();
});

test("what the server refuses is said, and a retry goes on", async () => {
  const { page, done } = await openPage(browser, mock.url, { expect: ["400"] });
  await page.fill("#composer", "fail");
  await page.press("#composer", "Enter");
  await page.waitForSelector(".ending.is-bad");
  assert.equal(await page.innerText(".ending.is-bad"), "The temperature must be at least 0.");
  await done();
});

test("a key is asked for, and sent from then on", async () => {
  const guarded = await startMock({ page: kPage, key: "secret" });
  const { page, done } = await openPage(browser, guarded.url, { expect: ["401"] });
  await page.fill("#wanted-key", "secret");
  await page.press("#wanted-key", "Enter");
  await page.waitForSelector(".model");
  await ask(page, "Hello");
  assert.deepEqual(await answers(page), ["You said: Hello"]);
  await done();
  guarded.close();
});

test("the keyboard does it all", async () => {
  const { page, done } = await openPage(browser, mock.url);
  await page.press("#composer", "Tab");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("?");
  assert.match(await page.innerText("dialog"), /Another answer/);
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("/");
  await page.keyboard.type("Hello");
  await page.keyboard.press("Enter");
  await answered(page);
  await page.keyboard.press("ArrowUp");
  assert.equal(await page.inputValue(".editor textarea"), "Hello");
  await page.keyboard.press("Escape");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("r");
  await page.waitForSelector(".siblings");
  await answered(page);
  await page.keyboard.press("[");
  assert.match(await page.innerText(".siblings"), /1\/2/);
  await page.keyboard.press("b");
  await page.waitForSelector(".tree");
  await page.locator('.dot[tabindex="0"]').focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  assert.match(await page.innerText(".siblings"), /2\/2/);
  await page.keyboard.press("n");
  await page.waitForSelector(".greeting");
  await done();
});

test("states on the server can be gone on with and deleted", async () => {
  const { page, done } = await openPage(browser, mock.url);
  await page.click('.topbar [aria-label="States on the server"]');
  await page.waitForSelector(".state");
  assert.match(await page.innerText(".state"), /1,234 tokens in 330 kB/);
  await page.click('[aria-label="Go on with A talk about states"]');
  await page.waitForSelector(".is-answer");
  assert.deepEqual(await answers(page), ["Hello to you."]);
  await page.click('.state [aria-label="Delete A talk about states"]');
  await page.waitForSelector("text=None yet.");
  await done();
});

test("kept on the server, a turn names the answer before it and sends only what is new", async () => {
  const { page, done } = await openPage(browser, mock.url, { expect: ["400"] });
  const last = () => mock.seen.requests.at(-1);
  await page.click('.topbar [aria-label="States on the server"]');
  await page.check('.states .switch input[type="checkbox"]');
  await ask(page, "one");
  assert.deepEqual(
    [last().previous_response_id, last().input, last().store],
    [undefined, [{ role: "user", content: "one" }], true],
  );
  await ask(page, "two");
  const [previous] = [last().previous_response_id];
  assert.match(previous, /^resp_/);
  assert.deepEqual(last().input, [{ role: "user", content: "two" }]);
  assert.match(await page.innerText(".is-answer:last-child .usage"), /40 of 50 cached/);

  // In the list a state bears the name of what was asked.
  await page.click(".tabs >> text=Branches");
  await page.click(".tabs >> text=States");
  await page.waitForSelector(".state");
  assert.match(await page.locator(".state strong").first().innerText(), /^two$/);

  // A branch goes on from where it begins.
  await page.click('.is-answer:last-child [aria-label="Another answer"]');
  await page.waitForSelector(".is-answer:last-child .siblings");
  assert.equal(last().previous_response_id, previous);

  // A server that has forgotten is told all again.
  mock.forget();
  await ask(page, "three");
  assert.equal(last().previous_response_id, undefined);
  assert.deepEqual(
    last().input.map((turn) => turn.content),
    ["one", "You said: one", "two", "You said: two", "three"],
  );
  assert.equal((await answers(page)).at(-1), "You said: three");
  await done();
});
