// What the tests of the page share: the browser, and a page in it that must not complain.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export const kPage = process.env.LINNET_PAGE;
const kChromium = process.env.LINNET_CHROMIUM ?? "/usr/bin/chromium";
const kFlags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

export const openBrowser = () => chromium.launch({ executablePath: kChromium, args: kFlags });

/// A page in a context of its own. `options.expect` are texts that its console may hold; anything else in
/// there fails the test when the page is closed by `done`.
export async function openPage(browser, url, { expect = [], ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on(
    "console",
    (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()),
  );
  await page.goto(url);
  await page.waitForSelector("#composer, .cards");
  await settled(page);
  settleAfter(page, page, ["click", "press", "fill", "check"]);
  settleAfter(page, page.keyboard, ["press", "type"]);
  const done = async () => {
    await context.close();
    assert.deepEqual(
      complaints.filter((complaint) => !expect.some((text) => complaint.includes(text))),
      [],
    );
  };
  return { page, context, done };
}

/// Waits until the page has painted what changed and run what it does after painting.
const settled = (page) =>
  page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))),
  );

/// Lets these acts of `subject` end only when the page is settled, as a person sees what a key did before
/// the next one.
function settleAfter(page, subject, acts) {
  for (const act of acts) {
    const plain = subject[act].bind(subject);
    subject[act] = async (...given) => {
      const result = await plain(...given);
      await settled(page);
      return result;
    };
  }
}

/// Says something and waits until its answer is whole.
export async function ask(page, text) {
  await page.fill("#composer", text);
  await page.press("#composer", "Enter");
  await answered(page);
}

export async function answered(page) {
  await page.waitForSelector(".is-answer:last-child .actions");
}

export const answers = (page) => page.locator(".is-answer .prose").allInnerTexts();

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/// What axe finds that is serious or critical: "rule: element".
export async function axeFindings(page) {
  // By the debugger: the page's own policy would refuse a script element.
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe });
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter((violation) => ["serious", "critical"].includes(violation.impact))
    .flatMap((violation) =>
      violation.nodes.map(
        (node) => `${violation.id}: ${node.html.slice(0, 120)} ${node.any[0]?.message ?? ""}`,
      ),
    );
}
