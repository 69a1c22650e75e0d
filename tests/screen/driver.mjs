// Does in a browser what comes line by line as JSON on stdin, and answers line by line on stdout.
//
//   node driver.mjs FOLDER-WITH-PLAYWRIGHT CHROMIUM

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [folder, executablePath] = process.argv.slice(2);
const { chromium } = createRequire(join(folder, "index.js"))("playwright-core");
const TIMEOUT_MS = 45000;

let context = null;
let page = null;
let complaints = [];

const verbs = {
  async open({ url, width, height, theme, cookie }) {
    await context?.close();
    context = await browser.newContext({
      viewport: { width, height }, colorScheme: theme, deviceScaleFactor: 1, reducedMotion: "reduce",
    });
    if (cookie) await context.addCookies([cookie]);
    page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    complaints = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) &&
      complaints.push(`${message.text()} (${message.location().url})`));
    page.on("pageerror", (error) => complaints.push(String(error.stack)));
    await page.goto(url, { waitUntil: "load" });
  },
  run: ({ code }) => page.evaluate(code),
  // Not by waitForFunction, which evaluates a string in the page: its policy forbids that.
  async until({ code }) {
    const end = Date.now() + TIMEOUT_MS;
    let last = null;
    while (Date.now() < end) {
      last = await page.evaluate(code).catch((error) => String(error.message));
      if (last === true) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`not within ${TIMEOUT_MS} ms, but ${JSON.stringify(last)}`);
  },
  click: ({ selector }) => page.click(selector),
  fill: ({ selector, text }) => page.fill(selector, text),
  press: ({ key }) => page.keyboard.press(key),
  choose: ({ selector, value }) => page.selectOption(selector, value).then(() => null),
  media: ({ theme }) => page.emulateMedia({ colorScheme: theme }),
  async shoot({ file, whole, selector }) {
    if (selector) await page.locator(selector).screenshot({ path: file });
    else await page.screenshot({ path: file, fullPage: Boolean(whole) });
  },
  complaints: () => complaints,
  forgive: () => { complaints = []; },
};

const browser = await chromium.launch({
  executablePath, headless: true, timeout: TIMEOUT_MS,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const { verb, ...rest } = JSON.parse(line);
  try {
    console.log(JSON.stringify({ value: (await verbs[verb](rest)) ?? null }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error.message) }));
  }
}
await browser.close();
