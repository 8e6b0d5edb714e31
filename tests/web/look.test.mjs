// How the page looks and reads: light and dark, a phone, axe, the first paint; and the two other pages.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ask, axeFindings, kPage, openBrowser, openPage } from "./browser.mjs";
import { logOf, startMock } from "./mock.mjs";

const kPhone = {
  viewport: { width: 360, height: 740 },
  hasTouch: true,
  isMobile: true,
  deviceScaleFactor: 2,
};

let browser, mock;
before(async () => {
  browser = await openBrowser();
  mock = await startMock({
    page: kPage,
    runs: { first: logOf(300), "first/lora": logOf(120, { start: 4, seed: 7 }) },
  });
});
after(async () => {
  await browser?.close();
  mock?.close();
});

/// With LINNET_SHOTS=FOLDER the pictures are kept, to be looked at.
async function shoot(page, name) {
  const folder = process.env.LINNET_SHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const overflows = (page) => page.evaluate(() => document.documentElement.scrollWidth > innerWidth);

for (const colorScheme of ["light", "dark"]) {
  test(`axe finds nothing serious, ${colorScheme}`, async () => {
    const { page, done } = await openPage(browser, mock.url, { colorScheme });
    assert.deepEqual(await axeFindings(page), [], "greeting");
    await shoot(page, `${colorScheme}-greeting`);
    await ask(page, "Show me the code of one step");
    await page.waitForSelector(".hljs-keyword");
    await ask(page, "And in markdown: what is kept?");
    await page.click('.is-answer:last-child [aria-label="Another answer"]');
    await page.waitForSelector(".is-answer:last-child .usage");
    for (const panel of ["Branches", "States on the server", "Settings"]) {
      await page.click(`.topbar [aria-label="${panel}"]`);
      await page.waitForTimeout(100);
      assert.deepEqual(await axeFindings(page), [], panel);
      await shoot(page, `${colorScheme}-${panel.split(" ")[0].toLowerCase()}`);
    }
    await page.click('[aria-label="Keyboard shortcuts"]');
    assert.deepEqual(await axeFindings(page), [], "keyboard");
    await page.keyboard.press("Escape");
    await page.click('.is-answer:last-child [aria-label="See inside this answer"]');
    await page.waitForSelector(".heat canvas");
    assert.deepEqual(await axeFindings(page), [], "inside");
    await shoot(page, `${colorScheme}-inside`);
    await page.click(".pages a >> nth=2");
    await page.waitForSelector(".u-legend");
    assert.deepEqual(await axeFindings(page), [], "training");
    await shoot(page, `${colorScheme}-training`);
    await done();
  });
}

test("the colours can be switched, and stay so without a flash", async () => {
  const { page, context, done } = await openPage(browser, mock.url, { colorScheme: "light" });
  const light = await ground(page);
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("d");
  const dark = await ground(page);
  assert.notEqual(light, dark);
  // As the page comes up again, its ground is looked at in each frame.
  await context.addInitScript(() => {
    window.grounds = new Set();
    const look = () => {
      if (document.body) window.grounds.add(getComputedStyle(document.body).backgroundColor);
      requestAnimationFrame(look);
    };
    look();
  });
  await page.reload();
  await page.waitForSelector("#composer");
  assert.deepEqual(await page.evaluate(() => [...window.grounds]), [dark]);
  await done();
});

test("a phone's width is enough for everything", async () => {
  const { page, done } = await openPage(browser, mock.url, kPhone);
  await shoot(page, "phone-greeting");
  assert.equal(await overflows(page), false);
  await ask(page, "Show me the code of one step");
  await shoot(page, "phone-chat");
  assert.equal(await overflows(page), false);
  assert.deepEqual(await axeFindings(page), []);
  await page.click('[aria-label="Menu"]');
  await page.waitForTimeout(300);
  await shoot(page, "phone-menu");
  assert.deepEqual(await axeFindings(page), []);
  await page.click(".pages a >> nth=2");
  await page.waitForSelector(".u-legend");
  await shoot(page, "phone-training");
  assert.equal(await overflows(page), false);
  await page.click('[aria-label="Menu"]');
  await page.click(".pages a >> nth=1");
  await page.click("text=Look");
  await page.waitForSelector(".heat canvas");
  await shoot(page, "phone-inside");
  assert.equal(await overflows(page), false);
  await done();
});

test("the first paint comes at once", async () => {
  // The machine may be busy with something else, so the best of several loads counts.
  let best = Infinity;
  for (let i = 0; i < 20 && best >= 100; ++i) {
    const { page, done } = await openPage(browser, mock.url);
    best = Math.min(
      best,
      await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime),
    );
    await done();
  }
  console.log(`first contentful paint after ${Math.round(best)} ms`);
  assert.ok(best < 100, `${best} ms`);
});

test("see inside: tokens, what else might have come, the map, the decays", async () => {
  const { page, done } = await openPage(browser, `${mock.url}/#/inside`);
  await page.fill("#inside-text", "A text of several tokens");
  await page.click("text=Look");
  await page.waitForSelector(".heat canvas");
  assert.equal(await page.locator(".token").count(), 6);
  await page.hover(".token >> nth=2");
  assert.equal(await page.locator(".alternatives li").count(), 5);
  await page.locator(".token >> nth=2").focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.getAttribute(".token >> nth=3", "aria-selected"), "true");
  const map = await page.locator(".heat canvas").boundingBox();
  await page.mouse.move(map.x + map.width - 4, map.y + 4);
  assert.match(await page.innerText(".heat-value"), /layer 0, head 0: [\d.]+ of at most [\d.]+/);
  assert.equal(await page.getAttribute(".token >> nth=5", "aria-selected"), "true");
  await page.click(".chip >> text=change");
  await page.click(".chip >> text=decay");
  assert.match(await page.innerText(".u-legend"), /layer 3/);
  await done();
});

test("training: several runs in one picture, and lines that are added show up", async () => {
  const runs = { first: logOf(100), second: logOf(60, { seed: 3 }) };
  const live = await startMock({ page: kPage, runs });
  const { page, done } = await openPage(browser, `${live.url}/#/training`);
  await page.waitForSelector(".figures");
  assert.match(await page.innerText(".figures"), /step\s+99/);
  await page.check(".run >> nth=1 >> input");
  await page.waitForFunction(() => document.querySelectorAll(".figures").length === 2);
  runs.first = logOf(150);
  await page.waitForFunction(() => /step\s+149/.test(document.querySelector(".figures").innerText));
  assert.match(await page.innerText(".sample"), /after 100 steps/);
  // A run that returned to an older checkpoint.
  runs.first +=
    JSON.stringify({ step: 120, event: "return", from: 149, why: "test" }) +
    "\n" +
    logOf(122).split("\n").slice(120, 121)[0] +
    "\n";
  await page.waitForFunction(() => /step\s+120/.test(document.querySelector(".figures").innerText));
  await page.click(".chip >> text=over time");
  await page.click(".chip >> text=log scale");
  await done();
  live.close();
});
